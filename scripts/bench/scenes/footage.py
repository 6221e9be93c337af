"""Recorded people and vehicles in long quiet timelines, each at its own place: before an event lies the place itself.

The place is the median of the clip's own empty stretch before the event, and of the event only that is shown which
differs from it: a recording's own compression would announce the event, and its key frames look like events. So nothing
moves in the background. After the event the picture fades to the next place. Optical flow raises frame rates to FPS.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np

from pipelines.source.planes import color_tags, planes
from pipelines.values import U8, ColorRange
from scripts.bench.scenes.picture import FPS, Sensor, frames, split

_FADE_S = 1.0
_GROUND_PICTURES = 15
_DIFFERENT_LEVELS = 6.0
"""Of luma, mean of a window: what differs more belongs to the event."""
_WINDOW_PX, _MARGIN_PX = 5, 9
"""Of the clip, before it is enlarged."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One event and the empty stretch before it: frame numbers of the clip, both ends inclusive."""

    empty: tuple[int, int]
    event: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Clip:
    """Where a clip is and what of it is used."""

    file: str
    """Below the footage folder, or absolute."""
    fps: float
    passages: tuple[Passage, ...]
    crop: tuple[int, int, int, int] | None = None
    """x, y, width, height, px, even; None: all of it."""


@dataclass(frozen=True)
class Recorded:
    """A Source: `clip` stretched to `seconds`, its events in turn, at most `event_s` of each."""

    name: str
    clip: Clip
    folder: Path = field(repr=False)
    seconds: float = 200.0
    quiet_s: tuple[float, float] = (46.0, 60.0)
    """Between events, from and to; each stretch is drawn by `seed`."""
    event_s: float = 5.0
    sigma: float = 2.0
    seed: int = 0
    wh: tuple[int, int] = (1920, 1080)

    @property
    def there(self) -> bool:
        """This machine has the clip."""
        return (self.folder / self.clip.file).is_file()

    def active_s(self) -> tuple[tuple[float, float], ...]:
        return tuple((begin, end) for _, begin, end in self._schedule())

    def _schedule(self) -> list[tuple[Passage, float, float]]:
        """Passages with the times when their events begin and end, s; the end is that of the fade."""
        rng = np.random.default_rng(self.seed)
        at = 0.0
        out: list[tuple[Passage, float, float]] = []
        for passage in itertools.cycle(self.clip.passages):
            length = (passage.event[1] - passage.event[0]) / self.clip.fps
            begin = at + rng.uniform(*self.quiet_s)
            end = begin + min(self.event_s, length) + _FADE_S
            if end > self.seconds - 2.0:
                return out
            out.append((passage, round(begin * FPS) / FPS, round(end * FPS) / FPS))
            at = end
        raise AssertionError("a cycle has no end")

    def pictures(self) -> Iterator[U8]:
        reel = _Reel(_decoded(str(self.folder / self.clip.file), self.clip.crop))
        schedule = self._schedule()
        sensor = Sensor(self.wh, self.sigma, self.seed)
        after = self.clip.passages[len(schedule) % len(self.clip.passages)]
        number, last = 0, None
        for passage, begin, end in [*schedule, (after, self.seconds, self.seconds)]:
            ground = reel.ground(passage.empty)
            first, until = frames(begin), frames(end - _FADE_S)
            still = _enlarged(ground, self.wh)
            for n in range(number, first):
                yield sensor.expose(self._faded(still, last, n - number), n)
            shown = ground
            for n in range(first, until):
                at = min(passage.event[0] + (n - first) * self._step, float(passage.event[1]))
                shown = _different(ground, reel.moved(at))
                yield sensor.expose(_enlarged(shown, self.wh), n)
            number, last = until, _enlarged(shown, self.wh)

    @property
    def _step(self) -> float:
        """Frames of the clip per picture."""
        return self.clip.fps / FPS

    @staticmethod
    def _faded(picture: U8, last: U8 | None, after: int) -> U8:
        """The picture; so soon after the one that ended an event, that shines through."""
        share = (after + 1) / (_FADE_S * FPS)
        if last is None or share >= 1.0:
            return picture
        return cast(U8, cv2.addWeighted(picture, share, last, 1.0 - share, 0.0))


def _different(ground: U8, picture: U8) -> U8:
    """What differs from the ground, on the ground. I420."""
    before, now = split(ground), split(picture)
    change = cv2.blur(cv2.absdiff(before[0], now[0]), (_WINDOW_PX, _WINDOW_PX))
    mask = cv2.dilate((change > _DIFFERENT_LEVELS).astype(np.float32), np.ones((_MARGIN_PX, _MARGIN_PX)))
    mask = cv2.blur(mask, (_WINDOW_PX, _WINDOW_PX))
    out = np.empty_like(ground)
    for plane, a, b in zip(split(out), before, now, strict=True):
        share = cv2.resize(mask, plane.shape[::-1], interpolation=cv2.INTER_AREA)
        plane[:] = np.rint(a + share * (b.astype(np.float32) - a))
    return out


class _Reel:
    """A decoded clip (I420, cropped, limited range) and the pictures between its frames. One thread: so is its flow."""

    def __init__(self, pictures: Sequence[U8]) -> None:
        self._pictures = pictures
        self._flow: tuple[int, np.ndarray] | None = None
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def ground(self, stretch: tuple[int, int]) -> U8:
        """The median of some of the pictures from the first to the last."""
        first, last = stretch
        chosen = np.unique(np.linspace(first, last, _GROUND_PICTURES).round().astype(int))
        return cast(U8, np.median([self._pictures[n] for n in chosen], axis=0).astype(np.uint8))

    def moved(self, at: float) -> U8:
        """What moves stands where it was at that moment."""
        first, share = self._place(at)
        if share < 1e-3:
            return self._pictures[first]
        here, there = self._pictures[first], self._pictures[first + 1]
        flow = self._flow_from(first)
        out = np.empty_like(here)
        for plane, a, b in zip(split(out), split(here), split(there), strict=True):
            h, w = plane.shape
            scale = h / flow.shape[0]
            part = cv2.resize(flow, (w, h), interpolation=cv2.INTER_AREA) * scale if scale != 1 else flow
            x, y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
            near = cv2.remap(
                a, x - share * part[..., 0], y - share * part[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            far = cv2.remap(
                b, x + (1 - share) * part[..., 0], y + (1 - share) * part[..., 1],
                cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE,
            )  # fmt: skip
            plane[:] = cv2.addWeighted(near, 1 - share, far, share, 0.0)
        return out

    def _place(self, at: float) -> tuple[int, float]:
        first = min(int(at), len(self._pictures) - 1)
        return (first, at - first) if first < len(self._pictures) - 1 else (first, 0.0)

    def _flow_from(self, first: int) -> np.ndarray:
        if self._flow is None or self._flow[0] != first:
            a, b = split(self._pictures[first])[0], split(self._pictures[first + 1])[0]
            self._flow = first, self._dis.calc(np.ascontiguousarray(a), np.ascontiguousarray(b), None)
        return self._flow[1]


@lru_cache(maxsize=1)
def _decoded(path: str, crop: tuple[int, int, int, int] | None) -> tuple[U8, ...]:
    pictures = []
    with av.open(path) as container:
        for frame in container.decode(video=0):
            full = color_tags(frame)[0] is ColorRange.FULL
            parts = [_cropped(plane, crop, 1 + (i > 0)) for i, plane in enumerate(planes(frame)[:3])]
            picture = np.concatenate([part.ravel() for part in parts]).reshape(-1, parts[0].shape[1])
            pictures.append(_limited(picture) if full else picture)
    return tuple(pictures)


def _cropped(plane: U8, crop: tuple[int, int, int, int] | None, step: int) -> U8:
    """The part of a plane, with even sides in luma."""
    x, y, w, h = crop or (0, 0, plane.shape[1] * step // 2 * 2, plane.shape[0] * step // 4 * 4)
    return plane[y // step : (y + h) // step, x // step : (x + w) // step]


def _limited(picture: U8) -> U8:
    """Full range to limited; chroma's gain is so near to luma's that one will do."""
    h = picture.shape[0] * 2 // 3
    out = picture.copy()
    out[:h] = cv2.convertScaleAbs(picture[:h], alpha=219 / 255, beta=16)
    return out


def _enlarged(small: U8, wh: tuple[int, int]) -> U8:
    out: U8 = np.empty((wh[1] * 3 // 2, wh[0]), np.uint8)
    for target, plane in zip(split(out), split(small), strict=True):
        cv2.resize(plane, target.shape[::-1], dst=target, interpolation=cv2.INTER_CUBIC)
    return out
