"""The product's own steps on scenes with exact truth: file, decoder, planes, folded model, boxes in source pixels.

Nothing between them: no ring, no worker, no gates. A step that reads range, matrix, channel order or letterbox wrongly
fails here; each of these mistakes is seeded to prove it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.accounting import Ledger
from pipelines.color import affine, resolve
from pipelines.model.fold import fold
from pipelines.model.options import FoldOptions
from pipelines.postprocess.decode import detect
from pipelines.preprocess import letterbox
from pipelines.preprocess.planes import pad_yuv, write_planes
from pipelines.source.file import FileOptions, FileSource
from pipelines.values import ColorMatrix, ColorRange, Frame, Letterbox, ModelCard
from pipelines.worker.engines.onnx import OnnxEngine
from tests.fakes.detector import save_detector
from tests.fakes.scene import Scene, SceneClip, clip
from tests.fakes.scene_match import Agreement, Found, compare

INPUT_WH = (416, 256)
SCORE = 0.5
LIMITED, FULL = ColorRange.LIMITED, ColorRange.FULL
BT601, BT709 = ColorMatrix.BT601, ColorMatrix.BT709


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is done wrongly between right steps. The default is nothing."""

    frame: Callable[[Frame], Frame] = lambda frame: frame
    channel_order: Any = None
    anchor: str = "center"
    pad_rgb: tuple[int, int, int] = (114, 114, 114)
    restored: Callable[[Letterbox], Letterbox] = lambda fit: fit


def frames(made: SceneClip) -> Iterator[Frame]:
    """Every frame of the clip, in order of display."""
    stream = FileSource(made.path, Ledger(), FileOptions(paced=False)).open()
    decoder = stream.decoder()
    try:
        while (packet := stream.read()) is not None:
            yield from (frame for frame in decoder.decode(packet) if isinstance(frame, Frame))
        yield from (frame for frame in decoder.flush() if isinstance(frame, Frame))
    finally:
        decoder.close()
        stream.close()


def agreement(folder: Path, made: SceneClip, mistake: Mistake | None = None, step: int = 1) -> Agreement:
    """Run every `step`-th frame of a clip through the steps and compare with its truth."""
    mistake = mistake or Mistake()
    original = save_detector(folder / "original.onnx", INPUT_WH, made.scene.wh)
    fold(original, folder / "folded.onnx", FoldOptions(channel_order=mistake.channel_order))
    engine = OnnxEngine(folder / "folded.onnx", max_batch=1)
    card = replace(engine.card, pad_rgb=mistake.pad_rgb)
    try:
        return compare(
            (number, made.truth[number], _detect(engine, card, mistake, frame))
            for number, frame in enumerate(frames(made))
            if number % step == 0
        )
    finally:
        engine.close()


def _detect(engine: OnnxEngine, card: ModelCard, mistake: Mistake, frame: Frame) -> list[Found]:
    frame = mistake.frame(frame)
    space = resolve(frame.color_range, frame.color_matrix, frame.wh[1])
    fit = letterbox.fit(frame.wh, INPUT_WH, mistake.anchor)
    payload = np.empty(card.payload_bytes, np.uint8)
    write_planes(frame, fit, pad_yuv(card, *space), payload)
    rows = engine.infer([payload], affine(card, *space)[None])[0]
    found = detect(rows, mistake.restored(fit), card, SCORE)
    return [
        Found(card.classes[kind], (x0, y0, x1, y1))
        for (x0, y0, x1, y1), kind in zip(found.xyxy.tolist(), found.classes.tolist(), strict=True)
    ]


@pytest.mark.parametrize(
    "scene",
    [
        Scene(seconds=4, b_frames=2, color_range=FULL, matrix=BT601),
        Scene(seconds=4, codec="hevc", b_frames=2, noise_sigma=4),
        Scene(seconds=4, codec="hevc", color_range=FULL, bitrate_bps=1_000_000),
        Scene(seconds=4, tagged=False, matrix=BT601),
        Scene(seconds=2, width=1280, height=720, tagged=False),
        Scene(seconds=2, width=1440, height=1080),
        Scene(seconds=2, width=720, height=1280, matrix=BT601),
    ],
    ids=["h264-full-601-b", "hevc-noise-b", "hevc-full-cbr", "untagged-sd", "untagged-hd", "4:3", "portrait"],
)
def test_every_target_is_found_where_it_is(tmp_path: Path, scene: Scene) -> None:
    result = agreement(tmp_path, clip(scene), step=2)

    assert result.required > 20
    assert result.perfect >= 0.99, result.misses


@pytest.mark.parametrize(
    "mistake",
    [
        Mistake(frame=lambda frame: replace(frame, color_range=FULL)),
        Mistake(frame=lambda frame: replace(frame, color_matrix=BT601)),
        Mistake(frame=lambda frame: replace(frame, u=frame.v, v=frame.u)),
        Mistake(channel_order="bgr"),
        Mistake(anchor="top_left"),
        Mistake(pad_rgb=(0, 0, 0)),
        Mistake(restored=lambda fit: replace(fit, content_x=0, content_y=0)),
        Mistake(restored=lambda fit: replace(fit, content_w=fit.input_w, content_h=fit.input_h, content_y=0)),
    ],
    ids=["range", "matrix", "u-v", "channel-order", "anchor", "pad", "offset-forgotten", "stretch-assumed"],
)
def test_each_mistake_fails_the_test_above(tmp_path: Path, mistake: Mistake) -> None:
    result = agreement(tmp_path, clip(Scene(seconds=4)), mistake, step=10)

    assert result.required > 10
    assert result.perfect < 0.5
