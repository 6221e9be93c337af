"""Validation errors as sentences that say what to do. No sentence ever quotes a value: it may be a secret."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from app.config.document import Node
from app.config.problem import Problem, dotted, printable_key
from app.config.shape import Spot, child, locate, models, tag

_BY_TYPE: Mapping[str, str] = {
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "too_short": "needs at least {min_length} entries, has {actual_length}",
    "too_long": "takes at most {max_length} entries, has {actual_length}",
    "string_too_short": "must not be shorter than {min_length} characters",
    "string_too_long": "must not be longer than {max_length} characters",
}
_WHOLE = "must be a whole number, as in 8"
_NUMBER = "must be a number, as in 2.5"
_TEXT = "must be one text, not a list and not a mapping"
_MAPPING = "must be a mapping: indented `key: value` lines below it"
_LIST = "must be a list, as in [a, b]"
_BY_PREFIX = (
    ("int_", _WHOLE),
    ("float_", _NUMBER),
    ("string_", _TEXT),
    ("path_", _TEXT),
    ("model_", _MAPPING),
    ("dict_", _MAPPING),
    ("mapping_", _MAPPING),
    ("list_", _LIST),
    ("tuple_", _LIST),
    ("set_", _LIST),
    ("frozen_set_", _LIST),
)
_CREDENTIALS = re.compile(r"(\w+://)[^/\s@]*@")


def problem_of(error: ErrorDetails, root: Node, model: type[BaseModel]) -> Problem:
    """One pydantic error as a Problem at the place it was written."""
    spot = locate(root, model, error["loc"])
    kind = error["type"]
    path = spot.path
    place = spot.node.place
    if kind == "union_tag_invalid":
        path = (*path, "type")
        if (node := spot.node.child("type")) is not None:
            place = node.place
    return Problem(place, dotted(path), _sentence(error, spot))


def _sentence(error: ErrorDetails, spot: Spot) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(str(spot.path[-1]), spot)
    if kind == "missing":
        return _missing(str(spot.path[-1]), spot)
    if spot.node.value is None:
        return "is empty: give it a value, or remove the line for the default"
    if kind in ("literal_error", "enum"):
        return _choice(re.findall(r"'([^']*)'", str(context["expected"])), spot.node.value)
    if kind == "union_tag_invalid":
        node = spot.node.child("type")
        return _choice(re.findall(r"'([^']*)'", str(context["expected_tags"])), node.value if node else None)
    if kind == "union_tag_not_found":
        tags = sorted(filter(None, (tag(model) for model in models(_union(spot)))))
        return f"does not say what it is: add `type:` with one of {', '.join(tags)}"
    if kind == "string_pattern_mismatch":
        return f"does not have the right form: {_description(spot) or context['pattern']}"
    if kind in ("value_error", "assertion_error"):
        return _CREDENTIALS.sub(r"\1***@", str(context["error"]))
    if kind in ("too_short", "too_long") and isinstance(spot.node.value, str):  # pydantic counts a secret's entries
        kind = f"string_{kind}"
    if kind in _BY_TYPE:
        return _BY_TYPE[kind].format_map({key: _number(value) for key, value in context.items()})
    return next((text for prefix, text in _BY_PREFIX if kind.startswith(prefix)), f"is not valid ({kind})")


def closest(name: str, known: Iterable[str]) -> str:
    """` Did you mean `x`?` or nothing."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean `{match[0]}`?" if match else ""


def _union(spot: Spot) -> object:
    """The type of the value at the spot itself."""
    return child(spot.parent, spot.path[-1])


def _unknown_key(name: str, spot: Spot) -> str:
    known = sorted({key for model in models(spot.parent) for key in model.model_fields})
    if ":" in name:
        return "unknown key: put a space after the colon"
    hint = closest(name, known)
    return f"unknown key; {hint}" if hint else f"unknown key: remove it, or use one of {', '.join(known)}"


def _missing(name: str, spot: Spot) -> str:
    description = _description(spot)
    return f"is required: add `{printable_key(name)}:`" + (f" ({description})" if description else "")


def _description(spot: Spot) -> str:
    """What the documentation says of the key at the spot."""
    name = str(spot.path[-1])
    owners = [model for model in models(spot.parent) if name in model.model_fields]
    return (owners[0].model_fields[name].description or "").rstrip(".") if owners else ""


def _choice(expected: list[str], value: object) -> str:
    hint = closest(value, expected) if isinstance(value, str) else ""
    return f"must be one of {', '.join(expected)}" + (f"; {hint}" if hint else "")


def _number(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value
