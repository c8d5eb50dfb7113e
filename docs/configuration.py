"""Writes docs/configuration.md from the schema of the configuration and from config.yaml.

python docs/configuration.py
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ndsm.study import configuration

ROOT = Path(__file__).resolve().parents[1]
DEFAULTS = ROOT / "config.yaml"
PAGE = ROOT / "docs" / "configuration.md"
HEAD = """# Configuration

<!-- Written by `make docs` from the schema and config.yaml: change those. -->

A study is one YAML file. `config.yaml` is the default study. The others lie in `workflow/studies/`.
A file of your own is given by `--configfile`; it is a whole study and is merged with no other.
The schema is `workflow/schemas/config.schema.yaml`. A key that it does not have is refused.

How the tables read:

- *Default* is what the default study says, for the settings of experiments under its `defaults:`.
  A value in italics holds where a study says nothing. *Required* keys must be there, in a whole
  study or in a part of one. Other keys without a default are optional.
- An experiment takes every setting under `defaults:` that it does not name. Settings are merged key
  by key: a list is replaced as a whole.
- A `<name>` in a heading stands for a name that the study chooses.
- The keys of a method's own `process` and `training` are those of `defaults.process` and of
  `defaults.training`, without `evaluations`.
- Times (`t_min`, `T`) have no unit. In working coordinates the mean variance within a component of
  the drift's mixture is one, and the linear process keeps the share e^-t of the data at time t.
- A *network evaluation* is one pass of one point through the network.
- A name has up to 60 letters, digits, - and _.

What each method, metric and data set is: [method](method.md#the-methods),
[results](results.md#the-metrics), [extending](extending.md#a-data-set).
"""
# Their keys have another table: those of an experiment, of its process and of its training.
ALIKE = {"experiments.<name>", "defaults.variants.<name>"}
ALIKE |= {
    f"{part}.<name>.{key}"
    for part in ("methods", "defaults.tuned")
    for key in ("process", "training")
}
COLUMNS = "| key | meaning | allowed | default |\n| --- | --- | --- | --- |"


def followed(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A node of the schema, with what it refers to."""
    own = dict(node)
    if name := own.pop("$ref", "").rpartition("/")[2]:
        return followed(schema["$defs"][name], schema) | own
    return own


def allowed(node: dict[str, Any], schema: dict[str, Any]) -> str:
    """The values that a key may have."""
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    kinds = node.get("type", "")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    low, high = node.get("minimum"), node.get("maximum")
    above, below = node.get("exclusiveMinimum"), node.get("exclusiveMaximum")
    limits = [f"at least {low:g}"] if low is not None else []
    limits += [f"more than {above:g}"] if above is not None else []
    # A limit of a billion is there against overflow alone.
    limits += [f"at most {high:g}"] if high is not None and high < 10**9 else []
    limits += [f"less than {below:g}"] if below is not None else []
    words = {"string": "text", "boolean": "`true`, `false`", "array": "list", "object": "settings"}
    named = " or ".join(words.get(kind, kind) for kind in kinds)
    if "pattern" in node:
        named = named.replace("text", "name")
    if "array" in kinds and "items" in node:
        inner = followed(node["items"], schema)
        limits += [f"of {text}"] if (text := allowed(inner, schema)) else []
    return " ".join([named, ", ".join(limits)]).strip()


def default(value: Any, node: dict[str, Any], required: bool) -> str:
    """What holds without a key: the study's value, or in italics the schema's."""
    if value is None or isinstance(value, dict) or node.get("type") == "array" and not value:
        without = "required" if required else node.get("default")
        return f"*{str(without).lower()}*" if without is not None else ""
    if isinstance(value, list):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def row(key: str, node: dict[str, Any], value: Any, schema: dict[str, Any], required: bool) -> str:
    """One line of a table."""
    meaning = " ".join(node.get("description", "").split())
    meaning = meaning.replace("|", "\\|").replace("<", "&lt;")
    return f"| `{key}` | {meaning} | {allowed(node, schema)} | {default(value, node, required)} |"


def tables(
    path: str, node: dict[str, Any], values: Any, schema: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
    """The tables of a part of the configuration and of the parts within it: path, node, rows."""
    rows, inner = [], []
    values = {key: value for key, value in values.items() if key != "secondary"}
    required = node.get("required", schema["$defs"]["complete"]["required"])
    required = [] if path.startswith("defaults.") and "required" not in node else required
    for key, short in node.get("properties", {}).items():
        whole = followed(short, schema)
        rows.append(row(key, whole, values.get(key), schema, key in required))
        at = f"{path}.{key}" if path else key
        if key == "secondary":
            inner.append((f"{at}[…]", followed(whole["items"], schema), {}))
        elif "properties" in whole and at not in ALIKE:
            inner.append((at, whole, values.get(key, {})))
        elif isinstance(whole.get("additionalProperties"), dict) and key != "scales":
            each = followed(whole["additionalProperties"], schema)
            at = f"{at}.<name>"
            inner += [(at, each, {})] if "properties" in each and at not in ALIKE else []
    yield path, node, rows
    for at, whole, value in inner:
        yield from tables(at, whole, value, schema)


def page() -> str:
    """The text of docs/configuration.md."""
    schema, study = configuration.SCHEMA, yaml.safe_load(DEFAULTS.read_text("utf-8"))
    parts = [HEAD]
    for path, node, rows in tables("", schema, study, schema):
        title = f"`{path}`" if path else "The study"
        if path == "defaults":
            title = "`defaults`, and each of `experiments`"
        parts.append(f"## {title}\n")
        if path and (text := node.get("description")):
            parts.append(" ".join(text.split()) + "\n")
        parts.append("\n".join([COLUMNS, *rows]) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
