"""The fit finds the light and overlooks the things."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.gate.light import LightFit
from tests.unit.gate.thumbnails import place, shot, with_thing


def fitted(picture: np.ndarray, background: np.ndarray) -> tuple[float, float]:
    light = LightFit()
    light.learn(background)
    return light.fit(picture, background)


@pytest.mark.parametrize(("gain", "offset"), [(1.2, 0.0), (0.7, 12.0), (1.0, -30.0)])
def test_gain_and_offset_are_found_under_noise(gain: float, offset: float) -> None:
    picture = shot(place() * np.float32(gain) + np.float32(offset), 1)

    got_gain, got_offset = fitted(picture, place())

    error = np.abs((got_gain - gain) * place() + got_offset - offset)
    assert error.max() < 2.0


def test_a_thing_over_a_quarter_of_the_picture_does_not_disturb_it() -> None:
    gain, offset = fitted(shot(with_thing(20, 0, 40, 96, 60) * np.float32(1.2), 1), place())

    assert np.abs((gain - 1.2) * place() + offset).max() < 6


def test_the_same_light_is_left_alone() -> None:
    assert fitted(shot(place(), 1), place()) == (1.0, 0.0)


def test_a_flat_picture_has_an_offset_and_no_gain() -> None:
    flat = np.full((96, 160), 100, np.float32)

    assert fitted(np.full((96, 160), 120, np.uint8), flat) == (1.0, 20.0)


def test_a_gain_beyond_reason_is_limited() -> None:
    gain, _ = fitted(np.full((96, 160), 3, np.uint8), place())

    assert gain == 0.4
