"""The models we know by name: what is packaged, and what can be fetched.

A fetched file is used only if its SHA-256 is the one in this table. The sums below are those that several independent
public projects state for these release files; GitHub publishes none for this release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.model.options import FoldOptions

SHIPPED_FOLDER = Path(__file__).parent / "shipped"
PRESENCE = "presence"

_DETECTOR = FoldOptions(
    family="yolov8", name="detector", classes=("person", "vehicle"), score_threshold=0.6, licence="Apache-2.0"
)
SHIPPED: Mapping[str, FoldOptions] = {
    "detector": _DETECTOR,
    "detector_int8": _DETECTOR.model_copy(update={"name": "detector_int8"}),
}
"""Detectors in SHIPPED_FOLDER as NAME.onnx, and how to fold one that is not folded."""


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A public model that `framegate models pull` fetches."""

    name: str
    url: str
    sha256: str
    size_bytes: int
    licence: str
    notes: str
    fold: FoldOptions


_YOLOX_RELEASE = "https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0"
_COCO_NOTE = "COCO's 80 classes; weights published beside Apache-2.0 code, no licence of their own stated"


def _yolox(size: str, own: str, sha256: str, size_bytes: int) -> KnownModel:
    name = f"yolox_{size}"
    fold = FoldOptions(family="yolox", name=name, score_threshold=0.3, nms_iou=0.45, licence="Apache-2.0")
    notes = f"input {own}, can be folded to other sizes; {_COCO_NOTE}"
    return KnownModel(name, f"{_YOLOX_RELEASE}/{name}.onnx", sha256, size_bytes, "Apache-2.0", notes, fold)


CATALOG: Mapping[str, KnownModel] = {
    model.name: model
    for model in (
        _yolox("nano", "416x416", "c789161ed43c8269fcd4e67c67eeeb4e80c622da2eb296a20bc6007bd18a0b7d", 3_659_407),
        _yolox("tiny", "416x416", "427cc366d34e27ff7a03e2899b5e3671425c262ea2291f88bb942bc1cc70b0f7", 20_219_662),
        _yolox("s", "640x640", "c5c2d13e59ae883e6af3b45daea64af4833a4951c92d116ec270d9ddbe998063", 35_858_002),
    )
}
