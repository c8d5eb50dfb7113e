"""The files of a configuration, before anything is made of them: what no reader of YAML survives.

A file of ``workflow/studies`` is checked before Snakemake reads it; one of ``--configfile`` after,
since Snakemake reads that before the Snakefile.
"""

from collections.abc import Iterable
from pathlib import Path

import yaml

from ndsm.study.configuration import ConfigError
from ndsm.study.messages import short
from ndsm.study.schema_problems import step

DEEPEST = 50  # levels; a study has eight
LONGEST = 4096  # characters of a value: a path of the system, and less than Python's largest number
MOST = 100_000  # values, with what aliases stand for; a study has some two thousand
CODE = "__use_yte__"  # the key with which Snakemake runs Python that stands in a file


class _Loader(yaml.FullLoader):  # type: ignore[misc]  # yaml has no types
    """Reads YAML as Snakemake does, but refuses a key that is given twice: the last would count."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        """The node of a mapping."""
        node, given = super().compose_mapping_node(anchor), set[str]()
        for key, _ in node.value:
            if (name := str(key.value)) in given:
                line = f"line {key.start_mark.line + 1} of {self.name}"
                raise ConfigError(f"{step(name)}: is there twice, {line}; allowed: once")
            given.add(name)
        return node


def check(files: Iterable[str | Path]) -> None:
    """Reads the files of a configuration, for this alone.

    What is no YAML is left to Snakemake, which may know it as JSON, indented with tabs.

    Raises:
        ConfigError: what cannot be read, would not end, or would run code.
    """
    for path in map(Path, files):
        try:
            text = _text(path)
            _refuse_endless(text, path.name)
            loader = _Loader(text)
            loader.name = path.name
            loader.get_single_data()
        except yaml.YAMLError:
            continue
        except (ArithmeticError, AttributeError, TypeError, ValueError) as problem:
            said = short(str(problem))  # a date that does not exist, a tag that does not fit
            raise ConfigError(f"{path.name}: cannot be read ({said}); allowed: YAML") from None


def _text(path: Path) -> str:
    """What a file says."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        byte = f"byte 0x{problem.object[problem.start]:02x} in line"
        line = problem.object.count(b"\n", 0, problem.start) + 1
        raise ConfigError(f"{path.name}: is not UTF-8, {byte} {line}; allowed: UTF-8") from None
    except OSError as problem:
        said = f"cannot be read ({problem.strerror})"
        raise ConfigError(f"{path.name}: {said}; allowed: a file that you may read") from None


def _refuse_endless(text: str, file: str) -> None:
    """Refuses what is too deep, too long or too much for whoever walks through it, and code."""
    above, starts = list[str | None](), list[int]()  # the collections around: anchor, values before
    sizes, count = dict[str | None, int](), 0  # of what an anchor names; values so far
    for event in yaml.parse(text, yaml.FullLoader):
        line = f"line {event.start_mark.line + 1} of {file}"
        match event:
            case yaml.AliasEvent():
                if event.anchor in above:
                    problem = f"holds itself, {line}; allowed: aliases of what stands before it"
                    raise ConfigError(f"{step('*' + event.anchor)}: {problem}")
                count += sizes.get(event.anchor, 0)
            case yaml.ScalarEvent():
                _refuse_value(event.value, line)
                sizes[event.anchor] = 1
                count += 1
            case yaml.CollectionStartEvent():
                above.append(event.anchor)
                starts.append(count)
                count += 1
            case yaml.CollectionEndEvent():
                sizes[above.pop()] = count - starts.pop()
        if len(above) > DEEPEST:
            raise ConfigError(f"{file}: is too deep, {line}; allowed: {DEEPEST} levels")
        if count > MOST:
            raise ConfigError(f"{file}: has too many values, {line}; allowed: up to {MOST}")


def _refuse_value(value: str, line: str) -> None:
    """Refuses code and what is too long."""
    if value == CODE:
        raise ConfigError(f"{CODE}: has Snakemake run Python, {line}; allowed: no such key")
    if len(value) > LONGEST:
        said = f"has {len(value)} characters, {line}"
        raise ConfigError(f"{step(value)}: {said}; allowed: up to {LONGEST}")
