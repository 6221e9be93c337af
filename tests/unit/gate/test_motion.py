"""Motion is what moves, not light, noise, flicker or a shaking camera; and nothing that moves is missed."""

from __future__ import annotations

from math import pi, sin

import cv2
import numpy as np
import pytest

from pipelines.gate.motion import MotionGate, MotionOptions
from pipelines.values import F32
from tests.unit.gate.thumbnails import FPS, SECOND, moving, place, run, settled, shot, with_thing

# --- what is no motion ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.0, 1.0, 3.0, 6.0, 10.0])
def test_noise_is_learned(sigma: float) -> None:
    assert not any(moving(run(lambda s: place(), 60, sigma, settled(sigma), 10)))


@pytest.mark.parametrize(("gain", "offset"), [(1.25, 0), (0.6, 0), (1.0, 25), (1.2, -20), (1.7, 0)])
def test_an_exposure_step_is_light(gain: float, offset: float) -> None:
    """Also one that drives the bright part to white."""

    def scene(s: float) -> F32:
        return place() if s < 15 else place() * np.float32(gain) + np.float32(offset)

    assert not any(moving(run(scene, 20, 2.0, settled(), 10)))


def test_a_cloud_is_light() -> None:
    """The sun fades to two thirds within four seconds and comes back."""

    def scene(s: float) -> F32:
        return place() * np.float32(1 - 0.33 * min(max(s - 12, 0) / 4, 1) * min(max(26 - s, 0) / 4, 1))

    assert not any(moving(run(scene, 20, 2.0, settled(), 10)))


@pytest.mark.parametrize("beat_hz", [0.3, 1.7, 2.4])
def test_the_beat_of_mains_light_is_flicker(beat_hz: float) -> None:
    def scene(s: float) -> F32:
        return place() * np.float32(1 + 0.12 * sin(2 * pi * beat_hz * s))

    assert not any(moving(run(scene, 30, 2.0, settled(), 10)))


def test_the_bands_of_a_rolling_shutter_are_flicker() -> None:
    """Bands five levels strong, from the moment the lamp is on."""
    rows = np.arange(96)[:, None]

    def scene(s: float) -> F32:
        bands: F32 = (5 * np.sin(2 * np.pi * (rows / 48 + 0.37 * s))).astype(np.float32)
        return place() + bands

    assert not any(moving(run(scene, 30, 2.0, settled(), 10)))


def test_a_camera_that_sways_a_little_is_still() -> None:
    """A quarter of a pixel to either side, edges of 40 levels."""

    def scene(s: float) -> F32:
        share = np.float32(0.25 * sin(2 * pi * 0.4 * s))
        swayed: F32 = place() + share / 2 * (np.roll(place(), 1, axis=1) - np.roll(place(), -1, axis=1))
        return swayed

    assert not any(moving(run(scene, 30, 2.0, settled(), 10))[5:])


def test_hot_pixels_are_no_thing() -> None:
    rng = np.random.default_rng(5)

    def scene(s: float) -> F32:
        picture = place().copy()
        for left in (4, 60, 110):
            picture[rng.integers(4, 92), left + rng.integers(0, 40)] = 255
        return picture

    assert not any(moving(run(scene, 30, 2.0, settled(), 10)))


def test_leaves_that_always_move_are_learned() -> None:
    """An eighth of the picture flutters by six levels: restless at first, then quiet."""
    rng = np.random.default_rng(6)

    def scene(s: float) -> F32:
        picture = place().copy()
        picture[:40, :48] += np.kron(rng.normal(0, 3, (10, 12)), np.ones((4, 4))).astype(np.float32)
        return picture

    gate = MotionGate(MotionOptions())
    run(scene, 60, 2.0, gate)

    assert np.mean(moving(run(scene, 60, 2.0, gate, 60))) < 0.1


# --- what is motion ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("contrast", [-40.0, -18.0, 18.0, 40.0])
def test_a_tiny_far_walker_is_seen(contrast: float) -> None:
    """3 x 6 thumbnail pixels, half a pixel per frame, across the picture: in nearly all frames and soon."""
    verdicts = run(lambda s: with_thing(20 + (s - 10) * FPS / 2, 70, 3, 6, contrast), 20, 2.0, settled(), 10)

    assert moving(verdicts)[1:] == [True] * (len(verdicts) - 1)
    assert verdicts[1].score > 1


def test_a_tiny_walker_is_seen_at_night() -> None:
    verdicts = run(lambda s: with_thing(20 + (s - 10) * FPS / 2, 70, 3, 6, 45), 10, 6.0, settled(6.0), 10)

    assert all(moving(verdicts)[5:])


def test_slow_entry_is_seen_and_not_absorbed() -> None:
    """A tenth of a pixel per frame: 20 s until ten columns are in."""
    gate = settled()

    verdicts = run(lambda s: with_thing(150 - (s - 10) * FPS / 10, 20, 60, 40, 25, place()), 40, 2.0, gate, 10)

    assert all(moving(verdicts)[10:])


def test_motion_during_an_exposure_step_is_seen() -> None:
    """The walker makes the camera darken the picture."""

    def scene(s: float) -> F32:
        return with_thing(10 + (s - 10) * FPS, 40, 12, 30, 50) * np.float32(0.75)

    assert all(moving(run(scene, 10, 2.0, settled(), 10)))


def test_motion_under_flicker_is_seen() -> None:
    def scene(s: float) -> F32:
        return with_thing(20 + (s - 10) * FPS, 70, 4, 8, 30) * np.float32(1 + 0.12 * sin(2 * pi * 1.7 * s))

    assert all(moving(run(scene, 10, 2.0, settled(), 10))[1:])


def test_what_passes_often_does_not_blind_its_path() -> None:
    """A bright car each two seconds for a minute, then a faint walker on the same lane."""

    def scene(s: float) -> F32:
        if s < 70:
            return with_thing(-40 + s % 2 * 120, 66, 24, 14, 80)
        return with_thing(20 + (s - 73) * FPS, 68, 4, 8, 16) if s >= 73 else place()

    gate = settled()
    run(scene, 63, 2.0, gate, 10)

    assert all(moving(run(scene, 8, 2.0, gate, 73))[1:])


def test_a_thing_that_fills_half_the_picture_is_seen() -> None:
    assert all(moving(run(lambda s: with_thing(40 + s, 0, 80, 96, -45), 5, 2.0, settled(), 10)))


# --- hold, warm-up, masks ------------------------------------------------------------------------------------------


def test_frames_go_on_for_two_seconds_after_motion_and_no_longer() -> None:
    scene = lambda s: with_thing(60, 40, 10, 20, 60) if s < 11 else place()  # noqa: E731

    verdicts = run(scene, 10, 2.0, settled(), 10)

    assert moving(verdicts) == [s / FPS <= 0.8 + 2 for s in range(50)]


def test_every_frame_goes_on_until_the_background_is_known() -> None:
    verdicts = run(lambda s: place(), 6)

    assert moving(verdicts) == [n / FPS < 3 for n in range(30)]


def test_a_slow_stream_has_seen_some_frames_before_it_decides() -> None:
    """One frame each two seconds: eight frames, not three seconds."""
    gate = MotionGate(MotionOptions())

    verdicts = [gate.update(shot(place(), n), n * 2 * SECOND) for n in range(20)]

    assert moving(verdicts) == [n < 8 for n in range(20)]


def test_what_moves_under_the_mask_does_not_count() -> None:
    ignore = np.zeros((96, 160), bool)
    ignore[:, 80:] = True
    under = run(lambda s: with_thing(100 + s, 40, 10, 20, 60), 5, 2.0, settled(ignore=ignore), 10)
    beside = run(lambda s: with_thing(10 + s, 40, 10, 20, 60), 5, 2.0, settled(ignore=ignore), 10)

    assert not any(moving(under))
    assert all(moving(beside))


# --- what stands ---------------------------------------------------------------------------------------------------


def test_a_thing_that_leaves_leaves_no_ghost() -> None:
    scene = lambda s: with_thing(60, 40, 10, 20, 60) if s < 30 else place()  # noqa: E731

    verdicts = run(scene, 30, 2.0, settled(), 10)

    assert moving(verdicts) == [n / FPS <= 19.8 + 2 for n in range(150)]


def test_the_soft_edge_of_what_stands_is_not_absorbed_either() -> None:
    """Its shadow is below the threshold; absorbed, it would be a bright ghost when the thing leaves."""
    shade = cv2.GaussianBlur(with_thing(60, 40, 12, 24, -60) - place(), (0, 0), 3)
    gate = settled(0.0)
    run(lambda s: place() + shade, 20, 0.0, gate, 10)

    verdicts = run(lambda s: place(), 5, 0.0, gate, 30)

    assert verdicts[0].score < 0.2


def test_a_thing_that_fidgets_is_not_absorbed() -> None:
    """Somebody in a patterned coat waits for a minute, and leaves no ghost."""
    coat = np.random.default_rng(7).normal(0, 30, (6, 6)).repeat(4, axis=0).repeat(3, axis=1).astype(np.float32)

    def scene(s: float) -> F32:
        picture = place().copy()
        if s < 70:
            left = 60 + round(s * FPS) % 3 * 2
            picture[40:64, left : left + 18] = 90 + coat
        return picture

    verdicts = run(scene, 66, 2.0, settled(), 10)

    assert all(moving(verdicts)[: 60 * FPS])
    assert not any(moving(verdicts)[63 * FPS :])


@pytest.mark.parametrize("sigma", [2.0, 10.0])
def test_a_parked_car_becomes_background_after_half_a_minute(sigma: float) -> None:
    verdicts = run(lambda s: with_thing(60, 40, 30, 20, 60), 60, sigma, settled(sigma), 10)

    still_from = moving(verdicts).index(False) / FPS
    assert 30 <= still_from <= 36
    assert not any(moving(verdicts)[round(still_from * FPS) :])


def test_a_ghost_of_the_first_frames_fades_too() -> None:
    """Somebody stood there when the camera started, and left."""
    verdicts = run(lambda s: with_thing(60, 40, 10, 20, 60) if s < 10 else place(), 70)

    assert all(moving(verdicts)[10 * FPS : 30 * FPS])
    assert not any(moving(verdicts)[50 * FPS :])


# --- scene change --------------------------------------------------------------------------------------------------


def test_another_view_is_a_scene_change_once_and_then_background() -> None:
    other = np.ascontiguousarray(place()[::-1, ::-1]) * np.float32(0.5) + np.float32(60)
    other[20:70, 20:120] = 30

    verdicts = run(lambda s: place() if s < 15 else other, 20, 2.0, settled(), 10)

    changes = [n for n, v in enumerate(verdicts) if v.scene_change]
    assert changes == [30]
    assert not any(moving(verdicts)[30 + 4 * FPS :])


def test_a_lorry_that_passes_close_is_no_scene_change() -> None:
    def scene(s: float) -> F32:
        return with_thing(-10, 0, 150, 96, -40) * np.float32(0.9) if 12 <= s < 12.8 else place()

    verdicts = run(scene, 10, 2.0, settled(), 10)

    assert not any(v.scene_change for v in verdicts)
    assert any(moving(verdicts))


# --- time ----------------------------------------------------------------------------------------------------------


def test_time_running_backward_keeps_the_gate_working() -> None:
    gate = settled()
    back = [gate.update(shot(place(), n), n * SECOND // FPS) for n in range(50)]
    thing = [gate.update(shot(with_thing(30 + n, 40, 10, 20, 60), n), n * SECOND // FPS) for n in range(50, 60)]

    assert not any(moving(back))
    assert all(moving(thing))


def test_a_hold_does_not_outlive_a_step_back_of_time() -> None:
    gate = settled()
    gate.update(shot(with_thing(60, 40, 10, 20, 60), 50), 3600 * SECOND)

    verdicts = [gate.update(shot(place(), n), n * SECOND // FPS) for n in range(51, 71)]

    assert moving(verdicts) == [n <= 10 for n in range(20)]


def test_after_a_long_sleep_the_background_is_still_known() -> None:
    gate = settled()
    hour = 3600 * FPS

    verdicts = [gate.update(shot(place(), n), (hour + n) * SECOND // FPS) for n in range(50, 60)]

    assert not any(moving(verdicts))


def test_it_is_deterministic() -> None:
    first, second = (run(lambda s: with_thing(10 + s, 30, 6, 12, 20), 20) for _ in range(2))

    assert first == second


def test_sensitivity_finds_fainter_things() -> None:
    faint = lambda s: with_thing(20 + s, 70, 4, 8, 6)  # noqa: E731
    plain = run(faint, 5, 1.0, settled(1.0), 10)
    keen = run(faint, 5, 1.0, settled(1.0, MotionOptions(sensitivity=2.0)), 10)

    assert keen[-1].score == pytest.approx(2 * plain[-1].score, rel=0.2)
    assert sum(moving(keen)) > sum(moving(plain))
