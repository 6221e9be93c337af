"""Planes to network input and back, written as plainly as possible, with a switch for each mistake one can make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from pipelines.values import F32, U8, ColorMatrix, ColorRange
from tests.fakes.detector import build_detector
from tests.fakes.scene import CLASS_NAMES, Scene, TruthBox, truth_of
from tests.fakes.scene_match import Agreement, Found, compare

INPUT_WH = (416, 256)


@dataclass(frozen=True, slots=True)
class Reading:
    """How the pipeline under test understands the picture. The mistakes are deviations from the scene."""

    color_range: ColorRange
    matrix: ColorMatrix
    channels: tuple[int, int, int] = (0, 1, 2)
    swap_chroma: bool = False
    anchor: str = "center"
    pad: float = 114.0
    stretch: bool = False
    restore_offset_px: int = 0
    """Error in the way back, network pixels."""

    @classmethod
    def right(cls, scene: Scene) -> Reading:
        return cls(scene.color_range, scene.matrix)


def run(scene: Scene, reading: Reading, numbers: Iterable[int], pictures: Iterable[U8]) -> Agreement:
    """Detect on I420 pictures (frame number by frame number) and compare with the truth."""
    session = ort.InferenceSession(
        build_detector(INPUT_WH, scene.wh).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return compare(_detect(session, scene, reading, numbers, pictures))


def decoded(path: Path) -> Iterator[U8]:
    """The clip's pictures as I420 (h * 3 / 2, w), in order of display."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            planes = [
                np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
                for plane in frame.planes
            ]
            yield np.concatenate([plane.ravel() for plane in planes]).reshape(-1, frame.width)


def _detect(
    session: ort.InferenceSession, scene: Scene, reading: Reading, numbers: Iterable[int], pictures: Iterable[U8]
) -> Iterator[tuple[int, tuple[TruthBox, ...], list[Found]]]:
    for number, picture in zip(numbers, pictures, strict=True):
        image, (x, y, w, h) = _network_input(picture, scene, reading)
        (output,) = session.run(None, {"images": image})
        offset = np.array([x, y, x, y]) + reading.restore_offset_px
        scale = np.tile([scene.width / w, scene.height / h], 2)
        yield number, truth_of(scene, number), list(_boxes(output[0], offset, scale, scene.wh))


def _boxes(
    output: F32, offset: npt.NDArray[np.int64], scale: npt.NDArray[np.float64], wh: tuple[int, int]
) -> Iterator[Found]:
    scores = output[4:]
    for cell in np.flatnonzero(scores.max(0) >= 0.5):
        cx, cy, w, h = output[:4, cell]
        x0, y0, x1, y1 = (np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]) - offset) * scale
        clipped = np.clip([x0, x1], 0, wh[0]), np.clip([y0, y1], 0, wh[1])
        xyxy = (float(clipped[0][0]), float(clipped[1][0]), float(clipped[0][1]), float(clipped[1][1]))
        yield Found(CLASS_NAMES[int(scores[:, cell].argmax())], xyxy)


def _network_input(picture: U8, scene: Scene, reading: Reading) -> tuple[F32, tuple[int, int, int, int]]:
    w, h = scene.wh
    chroma = picture[h:].reshape(2, h // 2, w // 2)
    u, v = chroma[::-1] if reading.swap_chroma else chroma
    x, y, fit_w, fit_h = _fit(scene.wh, reading)
    resized = [cv2.resize(plane, (fit_w, fit_h), interpolation=cv2.INTER_LINEAR) for plane in (picture[:h], u, v)]
    rgb = _to_rgb(np.stack(resized).astype(np.float64), reading)[list(reading.channels)]
    image = np.full((1, 3, INPUT_WH[1], INPUT_WH[0]), reading.pad, np.float32)
    image[0, :, y : y + fit_h, x : x + fit_w] = rgb
    return image / np.float32(255), (x, y, fit_w, fit_h)


def _fit(wh: tuple[int, int], reading: Reading) -> tuple[int, int, int, int]:
    if reading.stretch:
        return 0, 0, *INPUT_WH
    scale = min(INPUT_WH[0] / wh[0], INPUT_WH[1] / wh[1])
    w, h = round(wh[0] * scale / 2) * 2, round(wh[1] * scale / 2) * 2
    if reading.anchor == "top_left":
        return 0, 0, w, h
    return (INPUT_WH[0] - w) // 4 * 2, (INPUT_WH[1] - h) // 4 * 2, w, h


def _to_rgb(yuv: npt.NDArray[np.float64], reading: Reading) -> npt.NDArray[np.float64]:
    y, u, v = yuv[0], yuv[1] - 128, yuv[2] - 128
    if reading.color_range is ColorRange.LIMITED:
        y, u, v = (y - 16) * 255 / 219, u * 255 / 224, v * 255 / 224
    kr, kb = (0.299, 0.114) if reading.matrix is ColorMatrix.BT601 else (0.2126, 0.0722)
    r, b = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    return np.stack([r, (y - kr * r - kb * b) / (1 - kr - kb), b])
