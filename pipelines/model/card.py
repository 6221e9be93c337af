"""Reading a folded model's card without loading its graph into anything but onnxruntime."""

from __future__ import annotations

from pathlib import Path

from pipelines.card import METADATA_KEY, from_json, to_json
from pipelines.errors import ModelError
from pipelines.values import ModelCard

__all__ = ["METADATA_KEY", "find_card", "from_json", "read_card", "to_json"]


def read_card(path: Path) -> ModelCard:
    """The card of a folded model. Needs onnxruntime only; costs a load of the model, without optimisation.

    Raises:
        ModelError: not a model, not folded, or an unreadable card; names the file.
    """
    card = find_card(path)
    if card is None:
        raise ModelError(f"{path}: not a folded model (no {METADATA_KEY}): fold it with `framegate models fold`")
    return card


def find_card(path: Path) -> ModelCard | None:
    """As read_card, but None for a model that was never folded."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base of their own
        raise ModelError(f"{path}: not a model that can be loaded: {str(error).splitlines()[0]}") from error
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    try:
        return None if text is None else from_json(text)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
