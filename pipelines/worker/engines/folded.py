"""What every engine asks of a folded model file: that its card and its inputs fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime

from pipelines.card import METADATA_KEY, from_json
from pipelines.errors import ModelError
from pipelines.values import ModelCard

PLANES, COLOR, DETECTIONS = "planes", "color", "detections"
"""Inputs planes uint8 (b, h * 3 / 2, w) and color float32 (b, 3, 4); output detections float32 (b, top_k, 6)."""
CPU = "CPUExecutionProvider"


def open_session(path: Path | str, options: Any, providers: list[str]) -> tuple[Any, ModelCard]:
    """An onnxruntime session of a folded model, and its card. `options` is onnxruntime's SessionOptions.

    Raises:
        ModelError: cannot be loaded, or is not a folded model; names the file.
    """
    options.log_severity_level = 4  # what goes wrong comes back as an exception
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions share no base of their own
        raise ModelError(f"{path}: cannot be loaded: {first_line(error)}") from error
    return session, _card(path, session)


def read_card(path: Path | str) -> ModelCard:
    """The card of a folded model, without getting it ready to run. Raises ModelError as above."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return open_session(path, options, [CPU])[1]


def first_line(error: Exception) -> str:
    """onnxruntime's message without its pages of context."""
    return str(error).strip().split("\n", 1)[0][:300]


def _card(path: Path | str, session: Any) -> ModelCard:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise ModelError(f"{path}: not a folded model (no {METADATA_KEY}): fold it with `framegate models fold`")
    try:
        card = from_json(text)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    wanted = {
        PLANES: ("tensor(uint8)", [card.input_h * 3 // 2, card.input_w]),
        COLOR: ("tensor(float)", [3, 4]),
    }
    found = {i.name: (i.type, i.shape[1:]) for i in session.get_inputs()}
    outputs = {o.name: o.shape[1:] for o in session.get_outputs()}
    if found != wanted or outputs != {DETECTIONS: [card.top_k, 6]}:
        raise ModelError(
            f"{path}: inputs {found} and outputs {outputs} do not fit its card: {card.input_w}x{card.input_h} px, "
            f"{card.top_k} rows"
        )
    return card
