"""The model card as text: how a ModelCard travels in ONNX metadata, and between worker and DPU.

JSON, one object, every field of ModelCard. Unknown keys are ignored, so that an older program reads a newer card;
missing keys take the field's default.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, fields, replace
from typing import Any

from pipelines.errors import ModelError
from pipelines.values import ModelCard

METADATA_KEY = "framegate.card"
"""Key of the card in the ONNX file's metadata. A file that has it is folded."""

_TUPLES = {"classes": str, "pad_rgb": int, "offset": float, "std": float}


def to_json(card: ModelCard) -> str:
    """One line of JSON. `from_json(to_json(card)) == card`."""
    return json.dumps(asdict(card), ensure_ascii=False, sort_keys=True)


def from_json(text: str) -> ModelCard:
    """Read a card.

    Raises:
        ModelError: not JSON, a required key is missing, or a value has the wrong type.
    """
    try:
        data = json.loads(text)
        known = {f.name: _value(f.name, f.type, data[f.name]) for f in fields(ModelCard) if f.name in data}
    except (ValueError, TypeError) as error:
        raise ModelError(f"model card cannot be read: {error}") from error
    missing = [f.name for f in fields(ModelCard) if f.default is MISSING and f.name not in known]
    if missing:
        raise ModelError(f"model card lacks {', '.join(missing)}")
    return ModelCard(**known)


def interchangeable(one: ModelCard, other: ModelCard) -> bool:
    """What was made for one fits the other, both ways: payloads, answers, and what is read out of them.

    They may differ in what no pixel and no row depends on: the file's sum and its licence. So a lane attached for one
    goes on when the other takes its place: the same detector with newer weights.
    """
    return one == replace(other, sha256=one.sha256, licence=one.licence)


def _value(name: str, kind: object, value: Any) -> Any:
    """A JSON value as the field's type. `kind` is the annotation as text."""
    if name in _TUPLES:
        if not isinstance(value, list):
            raise TypeError(f"{name} must be a list")
        return tuple(_TUPLES[name](item) for item in value)
    if kind == "bool":
        return bool(value)
    return {"str": str, "int": int, "float": float}[str(kind)](value)
