"""A clip that is played round and round, without a seam: no camera jumps every hundred seconds.

The end fades into the beginning, and what a camera's noise reduction and an encoder's rate control were doing before
the beginning is what they do before the end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import cv2

from pipelines.values import U8
from scripts.bench.scenes.picture import FPS, Source

LEAD = 100
"""Pictures that come first and are thrown away once encoded: two groups."""
_FADE = 25


@dataclass(frozen=True)
class Lap:
    """A Source: the last `LEAD` pictures of another one, then all of them. Reads it twice."""

    scene: Source

    @property
    def name(self) -> str:
        return self.scene.name

    @property
    def seconds(self) -> float:
        return self.scene.seconds + LEAD / FPS

    @property
    def wh(self) -> tuple[int, int]:
        return self.scene.wh

    def active_s(self) -> tuple[tuple[float, float], ...]:
        return tuple((first_s + LEAD / FPS, last_s + LEAD / FPS) for first_s, last_s in self.scene.active_s())

    def pictures(self) -> Iterator[U8]:
        yield from deque(self._closed(), LEAD)
        yield from self._closed()

    def _closed(self) -> Iterator[U8]:
        """All pictures, the last ones more and more like the first."""
        count = round(self.scene.seconds * FPS)
        first: U8 | None = None
        for number, picture in enumerate(self.scene.pictures()):
            first = picture if first is None else first
            share = (number - (count - _FADE) + 1) / (_FADE + 1)
            yield picture if share <= 0 else _mixed(picture, first, share)


def _mixed(picture: U8, other: U8, share: float) -> U8:
    mixed: U8 = cv2.addWeighted(picture, 1.0 - share, other, share, 0.0)
    return mixed
