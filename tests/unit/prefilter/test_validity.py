"""Pictures that say nothing are named, and dark, plain or foggy ones are not."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from pipelines.prefilter.cover import CoverOptions
from pipelines.prefilter.validity import Validity, ValidityOptions
from pipelines.values import Cause
from tests.unit.prefilter.scenes import HW, Luma, light_at, night, shot, street, wall

SECOND = 1_000_000_000


def verdicts(
    scene: Callable[[int], Luma], seconds: int, sigma: float = 3.0, gate: Validity | None = None, start_s: int = 0
) -> list[Cause | None]:
    """One frame per second, each a key frame."""
    gate = gate or Validity(ValidityOptions())
    return [gate.check(*shot(scene(s), s, sigma), True, s * SECOND) for s in range(start_s, start_s + seconds)]


def steadily(picture: Luma) -> Callable[[int], Luma]:
    return lambda second: picture


# --- black and white -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 16, 20])
def test_a_capped_lens_is_black_in_either_range(level: int) -> None:
    assert verdicts(steadily(np.full(HW, float(level))), 3) == [Cause.BLACK] * 3


@pytest.mark.parametrize("level", [235, 255])
def test_an_overexposed_picture_is_white_in_either_range(level: int) -> None:
    assert verdicts(steadily(np.full(HW, float(level))), 3, sigma=1.0) == [Cause.WHITE] * 3


def test_a_person_before_the_white_is_worth_looking_at() -> None:
    picture = np.full(HW, 250.0)
    picture[100:104, 200:202] = 90  # far away: too small to move the thumbnail's structure

    assert verdicts(steadily(picture), 3, sigma=1.0) == [None] * 3


def test_a_light_in_the_dark_goes_on_with_its_first_frame() -> None:
    """Also a light smaller than the thumbnail's samples, and between two looks."""
    gate = Validity(ValidityOptions())
    dark = np.full(HW, 17.0)
    assert gate.check(*shot(dark, 0), True, 0) is Cause.BLACK

    lit, thumbnail = shot(light_at(dark, 2, 2, size_px=1), 1)

    assert thumbnail.max() < 40
    assert gate.check(lit, thumbnail, False, SECOND // 25) is None


# --- what is not invalid -------------------------------------------------------------------------------------------


def test_a_dark_night_with_a_moving_light_is_sound() -> None:
    assert verdicts(lambda s: light_at(night(), 20 + 10 * s, 150), 30) == [None] * 30


def test_a_dark_night_without_any_light_is_sound() -> None:
    assert verdicts(steadily(night()), 10) == [None] * 10


def test_a_plain_wall_is_sound() -> None:
    assert verdicts(steadily(wall()), 30) == [None] * 30


def test_fog_that_rises_over_ten_minutes_is_sound() -> None:
    """To 15 % of the contrast, under a bright veil."""
    clear = street()

    def scene(step: int) -> Luma:
        thickness = min(step * 10 / 600, 1.0) * 0.85
        return clear * (1 - thickness) + 190 * thickness

    gate = Validity(ValidityOptions())
    got = [gate.check(*shot(scene(i), i), True, i * 10 * SECOND) for i in range(90)]

    assert got == [None] * 90


def test_a_lamp_switched_off_is_no_covered_lens() -> None:
    got = verdicts(lambda s: street() if s < 10 else night(0.12), 40)

    assert got == [None] * 40


# --- covered -------------------------------------------------------------------------------------------------------


def cover_times(cover: Luma) -> list[Cause | None]:
    return verdicts(lambda s: street() if s < 40 or s >= 60 else cover, 70)


@pytest.mark.parametrize(
    "cover",
    [wall(90), wall(200), np.full(HW, 60.0), cv2.GaussianBlur(street(), (0, 0), 20)],
    ids=["bag", "paper", "hand", "focus"],
)
def test_a_covered_or_blurred_lens_is_named_after_five_seconds_and_cleared_at_once(cover: Luma) -> None:
    got = cover_times(cover)

    assert got[:45] == [None] * 45
    assert got[45:60] == [Cause.COVERED] * 15
    assert got[60:] == [None] * 10


def test_something_that_passes_close_by_is_no_cover() -> None:
    assert verdicts(lambda s: wall(90) if 40 <= s < 44 else street(), 55) == [None] * 55


def test_what_happens_to_stand_before_the_camera_at_its_start_is_not_what_it_usually_shows() -> None:
    """A lorry, for ten seconds; then a plain yard, with a seventh of its detail."""
    yard = 130 + (street() - 130) / 7

    assert verdicts(lambda s: street() if s < 10 else yard, 90) == [None] * 90


def test_a_camera_that_shows_almost_nothing_cannot_be_covered() -> None:
    """A wall with faint shades, then a plain one: nothing is lost."""
    shades = 130 + 12 * np.tile(np.sin(np.arange(HW[1]) / 10), (HW[0], 1))

    assert verdicts(lambda s: shades if s < 40 else wall(), 60) == [None] * 60


def test_a_camera_turned_to_a_wall_becomes_sound_again() -> None:
    gate = Validity(ValidityOptions(cover=CoverOptions(history_s=2)))
    got = verdicts(lambda s: street() if s < 40 else wall(), 300, gate=gate)

    assert Cause.COVERED in got
    assert got[-1] is None


# --- frozen --------------------------------------------------------------------------------------------------------


def test_the_same_pixels_in_two_key_frames_are_frozen() -> None:
    y, thumbnail = shot(street(), 0)
    gate = Validity(ValidityOptions())

    got = [gate.check(y.copy(), thumbnail.copy(), i % 50 == 0, i * SECOND // 25) for i in range(150)]

    assert got[:100] == [None] * 100
    assert got[100:] == [Cause.FROZEN] * 50


def test_skipped_blocks_between_key_frames_are_not_frozen() -> None:
    """A quiet scene may repeat its key frame's pixels until the next one is coded anew."""
    gate = Validity(ValidityOptions())

    got = [gate.check(*shot(street(), i // 50), i % 50 == 0, i * SECOND // 25) for i in range(300)]

    assert got == [None] * 300


def test_without_key_frames_the_same_pixels_are_frozen_after_half_a_minute() -> None:
    y, thumbnail = shot(street(), 0)
    gate = Validity(ValidityOptions(frozen_s=30))

    got = [gate.check(y, thumbnail, False, i * SECOND) for i in range(40)]

    assert got.index(Cause.FROZEN) == 31


def test_repeated_frames_of_an_intra_only_stream_are_not_frozen() -> None:
    """A slow shutter repeats pictures within the second."""
    gate = Validity(ValidityOptions())

    got = [gate.check(*shot(street(), i // 10), True, i * SECOND // 25) for i in range(100)]

    assert got == [None] * 100


def test_a_change_too_small_for_the_thumbnail_is_not_frozen() -> None:
    y, thumbnail = shot(street(), 0)
    gate = Validity(ValidityOptions())
    got = []
    for i in range(10):
        y[1, 1] = i
        got.append(gate.check(y, thumbnail, True, i * 2 * SECOND))

    assert got == [None] * 10


def test_a_frozen_camera_that_comes_back_is_sound_with_its_first_frame() -> None:
    y, thumbnail = shot(street(), 0)
    gate = Validity(ValidityOptions())
    for i in range(4):
        last = gate.check(y, thumbnail, True, i * SECOND)
    assert last is Cause.FROZEN

    assert gate.check(*shot(street(), 9), False, 3 * SECOND + 1) is None


# --- when it looks -------------------------------------------------------------------------------------------------


def test_a_sound_picture_is_looked_at_once_a_second() -> None:
    gate = Validity(ValidityOptions())
    for i in range(100):
        gate.check(*shot(wall(), i), False, i * SECOND // 25)

    assert gate.statistics().looks == 4


def test_each_turn_to_invalid_is_counted_once() -> None:
    gate = Validity(ValidityOptions())
    verdicts(lambda s: np.full(HW, 17.0) if s % 10 < 5 else street(), 30, gate=gate)

    assert gate.statistics().invalid == {Cause.BLACK: 3}


def test_time_running_backward_does_not_stop_the_looks() -> None:
    gate = Validity(ValidityOptions())
    gate.check(*shot(street(), 0), False, 1000 * SECOND)

    assert gate.check(*shot(np.full(HW, 17.0), 1), False, 0) is Cause.BLACK
