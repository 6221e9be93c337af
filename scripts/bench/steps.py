"""What each DPU-side step costs a frame, in thread time, against decoding the same frame.

    python scripts/bench/steps.py [--seconds S] [--input 416x256 ...]

A 1080p25 H.264 clip is made first: textured ground, sensor noise, things that move. Each decoded frame goes through
every step, as an accepted frame does, by the product's own code: decode, thumbnail, validity, motion, presence, planes,
header. The gates' clock runs at 5 frames per second, as if each frame were an analysed one: validity, which looks once
a second, is thereby amortised as it is in service. `accepted` is their sum without decode; `ratio` is what the issue
limits to 0.5. Means and percentiles are of thread time: other load moves them less than wall time, but it does, by the
caches it takes away (`load_1m` says how much there was): run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TypeVar

import av
import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipelines.accounting import Ledger
from pipelines.gate.motion import MotionGate, MotionOptions
from pipelines.prefilter.presence import PresenceGate, PresenceModel, PresenceOptions
from pipelines.prefilter.validity import Validity, ValidityOptions
from pipelines.preprocess.letterbox import fit
from pipelines.preprocess.planes import pad_yuv, write_planes
from pipelines.preprocess.thumbnail import luma_thumbnail
from pipelines.source.file import FileOptions, FileSource
from pipelines.transport.layout import HEADER_BYTES, HeaderArea
from pipelines.values import (
    U8,
    ColorMatrix,
    ColorRange,
    Frame,
    Letterbox,
    ModelCard,
    Priority,
    SlotHeader,
    Undecodable,
)
from scripts.bench.record import percentiles, record

WIDTH, HEIGHT, FPS, GOP = 1920, 1080, 25, 50
BITRATE_BPS = 3_000_000
ANALYSED_FPS = 5
WARMUP_FRAMES = 50
PRESENCE = Path(__file__).parents[2] / "pipelines" / "model" / "shipped" / "presence.onnx"
T = TypeVar("T")
STEPS = ("thumbnail", "validity", "motion", "presence", "planes", "header")


def pictures(count: int) -> Iterator[U8]:
    """(1620, 1920) uint8 I420: ground with texture, noise of three levels, three things that cross it."""
    rng = np.random.default_rng(1)
    rough = rng.normal(0, 1, (HEIGHT // 8, WIDTH // 8)).astype(np.float32)
    ground = 110 + 25 * cv2.resize(cv2.GaussianBlur(rough, (0, 0), 2), (WIDTH, HEIGHT)) * 3
    noise = rng.normal(0, 3, (HEIGHT + 64, WIDTH + 64)).astype(np.float32)
    for index in range(count):
        picture = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
        luma = ground.copy()
        for y, size, speed, level in ((200, 60, 6, 200), (500, 140, 3, 60), (800, 220, 9, 170)):
            x = index * speed % WIDTH
            luma[y : y + size, x : x + size // 2] = level
        dy, dx = rng.integers(0, 64, 2)
        luma += noise[dy : dy + HEIGHT, dx : dx + WIDTH]
        picture[:HEIGHT] = np.clip(luma, 0, 255)
        yield picture


def make_clip(path: Path, seconds: float) -> None:
    """Encode the clip. Takes about as long as it plays."""
    options = {"preset": "superfast", "tune": "zerolatency", "g": str(GOP)}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate, stream.time_base = BITRATE_BPS, Fraction(1, FPS)
        for index, picture in enumerate(pictures(round(seconds * FPS))):
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


class Stopwatch:
    """Thread time of each named step, frame by frame, in microseconds."""

    def __init__(self) -> None:
        self.samples_us: dict[str, list[float]] = {name: [] for name in ("decode", *STEPS)}

    def time(self, name: str, work: Callable[[], T]) -> T:
        started_ns = time.thread_time_ns()
        result = work()
        self.samples_us[name].append((time.thread_time_ns() - started_ns) / 1e3)
        return result

    def forget(self) -> None:
        for samples in self.samples_us.values():
            samples.clear()


class Camera:
    """One camera's steps, put together as the frame path does."""

    def __init__(self, watch: Stopwatch, input_wh: tuple[int, int]) -> None:
        self._watch = watch
        self._card = ModelCard("bench", "yolov8", *input_wh, ("person", "vehicle"))
        self._fit = fit((WIDTH, HEIGHT), input_wh)
        self._pad = pad_yuv(self._card, ColorRange.LIMITED, ColorMatrix.BT709)
        self._slot = np.zeros(self._card.payload_bytes, np.uint8)
        self._area = HeaderArea(bytearray(HEADER_BYTES), 0, epoch=1, slot=0, capacity_bytes=self._card.payload_bytes)
        self._validity = Validity(ValidityOptions())
        self._motion = MotionGate(MotionOptions())
        self._presence = PresenceGate(PresenceModel(PRESENCE), PresenceOptions())

    def frame(self, frame: Frame) -> None:
        """Every step, on one frame."""
        time_ns = frame.sequence * 1_000_000_000 // ANALYSED_FPS
        watch = self._watch
        thumbnail = watch.time("thumbnail", lambda: luma_thumbnail(frame.y))
        watch.time("validity", lambda: self._validity.check(frame.y, thumbnail, frame.is_keyframe, time_ns))
        watch.time("motion", lambda: self._motion.update(thumbnail, time_ns))
        watch.time("presence", lambda: self._presence.probability(thumbnail, time_ns))
        watch.time("planes", lambda: write_planes(frame, self._fit, self._pad, self._slot))
        watch.time("header", lambda: self._pack(frame.sequence, self._fit))

    def _pack(self, sequence: int, where: Letterbox) -> None:
        header = SlotHeader(
            task=sequence,
            camera="bench",
            model=self._card.name,
            arrival_ns=0,
            deadline_ns=0,
            priority=Priority.NORMAL,
            fit=where,
            color_range=ColorRange.LIMITED,
            color_matrix=ColorMatrix.BT709,
            payload_bytes=self._card.payload_bytes,
            shape=(self._card.input_h * 3 // 2, self._card.input_w),
        )
        self._area.pack(sequence, header)


def play(clip: Path, watch: Stopwatch, camera: Camera) -> int:
    """Decode the clip and take each frame through the steps. Returns the number of frames measured."""
    stream = FileSource(clip, Ledger(), FileOptions(paced=False)).open()
    decoder = stream.decoder()
    measured = 0
    try:
        while (packet := stream.read()) is not None:
            for item in watch.time("decode", partial(decoder.decode, packet)):
                if isinstance(item, Undecodable):
                    raise SystemExit(f"the bench's own clip does not decode: {item}")
                camera.frame(item)
                measured += 1
            if measured == WARMUP_FRAMES:
                watch.forget()
        return measured - WARMUP_FRAMES
    finally:
        decoder.close()
        stream.close()


def summary(watch: Stopwatch) -> dict[str, object]:
    """Mean and percentiles of each step, their sum, and its ratio to decode."""
    means = {name: sum(samples) / len(samples) for name, samples in watch.samples_us.items()}
    steps = {
        name: {"mean": round(means[name], 1), **percentiles(samples)} for name, samples in watch.samples_us.items()
    }
    accepted = sum(means[name] for name in STEPS)
    return {
        "steps_us": steps,
        "accepted_us": round(accepted, 1),
        "accepted_without_presence_us": round(accepted - means["presence"], 1),
        "ratio": round(accepted / means["decode"], 3),
    }


def size(text: str) -> tuple[int, int]:
    w, h = text.split("x")
    return int(w), int(h)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the clip")
    parser.add_argument("--input", type=size, nargs="+", default=[(416, 256), (640, 384)], help="network input, WxH")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        make_clip(clip, args.seconds)
        rate = round(clip.stat().st_size * 8 / args.seconds)
        for input_wh in args.input:
            watch = Stopwatch()
            load = round(os.getloadavg()[0], 1)
            n = play(clip, watch, Camera(watch, input_wh))
            figures = {
                "input": "{}x{}".format(*input_wh),
                "source": "1080p25 h264",
                "bits_per_s": rate,
                "load_1m": load,
            }
            packages = ("av", "numpy", "opencv-python-headless", "onnxruntime")
            record("steps", n, {**figures, **summary(watch)}, packages)


if __name__ == "__main__":
    main()
