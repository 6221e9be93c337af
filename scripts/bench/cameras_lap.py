"""A clip that is played round and round, without a seam: no camera jumps every hundred seconds.

In the last second the pixels go over, one by one and for good, to what the scene was a moment after the beginning:
played backwards, so that it leads to the beginning, but for a second that nobody is there for. A mixture of the two
would have less noise, a still picture none that changes, and an encoder would tell either at once. What a camera's
noise reduction and an encoder's rate control were doing before the beginning is what they do before the end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

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
        """All pictures, the last ones more and more like some of the first, with noise of their own."""
        count = round(self.scene.seconds * FPS)
        follow: list[U8] = []
        width, height = self.wh
        turn = np.random.default_rng(0).random((height * 3 // 2, width), np.float32)
        for number, picture in enumerate(self.scene.pictures()):
            if _FADE <= number < 2 * _FADE:
                follow.append(picture)
            left = count - 1 - number
            yield picture if left >= _FADE else np.where(turn < 1.0 - left / _FADE, follow[left], picture)
