"""Where a configuration departs from its schema: one line for each place.

Used by ``configuration`` alone.
"""

import sys
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from ndsm.study.messages import allowed, as_list, short, shown, unknown


def _is_number(_: Any, value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max  # so neither nan nor infinite


def _is_integer(_: Any, value: Any) -> bool:
    return isinstance(value, int) and _is_number(_, value)  # 5.0 is no number of seeds


_Validator = extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"number": _is_number, "integer": _is_integer}
    ),
)


def schema_problems(instance: Any, schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """One line for each place where ``instance``, found at the key ``prefix``, departs."""
    errors = _Validator(schema).iter_errors(instance)
    for error in sorted(errors, key=lambda error: [str(step) for step in error.absolute_path]):
        steps = [prefix, *map(step, error.absolute_path)]
        yield from _explain(error, ".".join(filter(None, steps)))


def _explain(error: ValidationError, key: str) -> Iterator[str]:
    """The lines for one departure from the schema, at ``key``."""
    value, rule, said = error.instance, error.validator_value, shown(error.instance)
    match error.validator:
        case "additionalProperties":
            known = error.schema["properties"]
            for name in [name for name in value if name not in known]:
                path = ".".join(filter(None, [key, step(name)]))
                given = f"{shown(value[name])} is given to no known key"
                yield f"{path}: {given}; {allowed(name, known)}"
        case "required":
            missing = next(name for name in rule if repr(name) in error.message)
            path = f"{key}.{missing}" if key else missing
            yield f"{path}: is missing; required beside it: {', '.join(rule)}"
        case "enum":
            yield unknown(key, value, rule)
        case "minimum":
            yield f"{key}: {said} is too small; allowed: {rule} or more"
        case "exclusiveMinimum":
            yield f"{key}: {said} is too small; allowed: more than {rule}"
        case "maximum":
            yield f"{key}: {said} is too large; allowed: {rule} or less"
        case "exclusiveMaximum":
            yield f"{key}: {said} is too large; allowed: less than {rule}"
        case "type":
            number = isinstance(value, str) and not {"integer", "number"}.isdisjoint(as_list(rule))
            hint = "; YAML reads 1e3 as text, 1.0e+3 as a number" if number else ""
            yield f"{key}: {said} is of the wrong type; allowed: {_kinds(rule)}{hint}"
        case "uniqueItems":
            twice = next(item for i, item in enumerate(value) if item in value[:i])
            yield f"{key}: {shown(twice)} is there twice in {said}; allowed: each once"
        case "minItems" | "minProperties":
            yield f"{key}: {said} is too short; allowed: {rule} entries or more"
        case "maxItems":
            yield f"{key}: {said} is too long; allowed: {rule} entries or fewer"
        case "pattern":
            yield f"{key}: {said} is no name; allowed: up to 60 letters, digits, - and _"
        case _:
            yield f"{key}: {said} is not allowed; allowed: {error.validator} {short(str(rule))}"


def step(name: Any) -> str:
    """A key as the path to it shows it."""
    plain = isinstance(name, str) and name and name == name.strip()
    return short(name if plain else repr(name))


def _kinds(rule: Any) -> str:
    return " or ".join({"object": "a mapping", "array": "a list"}.get(k, k) for k in as_list(rule))
