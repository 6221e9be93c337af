"""A clip of the capacity bench is a circle: what comes before its beginning is its end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipelines.values import U8
from scripts.bench.cameras_lap import LEAD, Lap
from scripts.bench.scenes.picture import FPS


@dataclass(frozen=True)
class Ramp:
    """A Source whose pictures get brighter, by one level each two."""

    name: str = "ramp"
    seconds: float = 8.0
    wh: tuple[int, int] = (4, 4)

    def active_s(self) -> tuple[tuple[float, float], ...]:
        return ((1.0, 2.0),)

    def pictures(self) -> Iterator[U8]:
        for n in range(round(self.seconds * FPS)):
            yield np.full((6, 4), n // 2, np.uint8)


def test_the_lead_is_the_end_and_the_end_leads_to_the_beginning() -> None:
    lap = Lap(Ramp())
    pictures = list(lap.pictures())
    assert len(pictures) == round(lap.seconds * FPS) == LEAD + 200
    np.testing.assert_array_equal(pictures[:LEAD], pictures[-LEAD:])
    levels = [int(picture[0, 0]) for picture in pictures[LEAD : LEAD + 175]]
    assert levels == [n // 2 for n in range(175)], "as it was, but for the last second"
    np.testing.assert_array_equal(pictures[-1], 25 // 2, "a second after the beginning")


def test_each_pixel_goes_over_once_and_is_never_mixed() -> None:
    before = np.zeros((6, 4), bool)
    for number, picture in enumerate(list(Lap(Ramp()).pictures())[-25:]):
        late, early = (175 + number) // 2, (49 - number) // 2
        gone = picture == early
        assert np.all(gone | (picture == late))
        assert np.all(gone[before])
        before = gone


def test_times_count_from_the_lead_on() -> None:
    assert Lap(Ramp()).active_s() == ((1.0 + LEAD / FPS, 2.0 + LEAD / FPS),)
