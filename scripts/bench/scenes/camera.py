"""What a camera does to its sensor's pictures before it encodes them: noise reduction over time.

As cameras ship: where nothing moves, each picture is mixed into those before; where something does, it is taken as it
is (recursive temporal filter with motion detection: Brailean et al., Proc. IEEE 83(9), 1995, section IV).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from pipelines.values import U8
from scripts.bench.scenes.picture import I16, Source

_STILL_SHIFT = 2
"""A quarter of the new picture, where nothing moves."""
_MOVING_LEVELS = 2.5
"""Mean difference between the picture and those before, over 12 x 12 px, above which something moves."""
_UNIT_BITS = 6
"""The filter's state is in 64ths of a level."""
_HALF = 1 << (_UNIT_BITS - 1)


@dataclass(frozen=True)
class Camera:
    """A Source: another one's pictures, denoised."""

    scene: Source

    @property
    def name(self) -> str:
        return self.scene.name

    @property
    def seconds(self) -> float:
        return self.scene.seconds

    @property
    def wh(self) -> tuple[int, int]:
        return self.scene.wh

    def active_s(self) -> tuple[tuple[float, float], ...]:
        return self.scene.active_s()

    def pictures(self) -> Iterator[U8]:
        reduction = NoiseReduction()
        return map(reduction.reduce, self.scene.pictures())


class NoiseReduction:
    """One camera's filter. One thread; some 5 ms per picture of 1080p."""

    def __init__(self) -> None:
        self._state: I16 | None = None
        self._shown: U8 | None = None

    def reduce(self, picture: U8) -> U8:
        """The next picture, (h * 3 / 2, w) I420; new."""
        units: I16 = np.left_shift(picture, _UNIT_BITS, dtype=np.int16)
        if self._state is None or self._shown is None:
            self._state = units
        else:
            moving = _moving(picture, self._shown)
            self._state += (units - self._state) >> _STILL_SHIFT
            cv2.copyTo(units, moving, self._state)
        self._shown = ((self._state + _HALF) >> _UNIT_BITS).astype(np.uint8)
        return self._shown


def _moving(picture: U8, before: U8) -> U8:
    """255 where something moves. Small sums first: noise must not reach the mean of a block."""
    h, w = picture.shape
    a, b = _quarter(picture), _quarter(before)
    change = cv2.blur(cv2.absdiff(a, b), (3, 3))
    _, moving = cv2.threshold(change, _MOVING_LEVELS, 255, cv2.THRESH_BINARY)
    around = cv2.dilate(moving, np.ones((3, 3), np.uint8))
    return np.asarray(cv2.resize(around, (w, h), interpolation=cv2.INTER_NEAREST))


def _quarter(picture: U8) -> U8:
    """Means of 4 x 4 px; halving twice is several times faster than at once."""
    for _ in range(2):
        h, w = picture.shape
        picture = cast(U8, cv2.resize(picture, (w // 2, h // 2), interpolation=cv2.INTER_AREA))
    return picture
