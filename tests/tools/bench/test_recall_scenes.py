"""Scenes: equal descriptions give equal pictures, nobody is there when nobody should be, and tapes match them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.values import Frame
from scripts.bench.recall import prepare
from scripts.bench.recall.prepare import Cache, looks, reference, shoot, taped
from scripts.bench.recall.suite import development, held_out
from scripts.bench.scenes.camera import NoiseReduction
from scripts.bench.scenes.catalog import Shot
from scripts.bench.scenes.drawn import Drawn, Weather
from scripts.bench.scenes.encoding import Recipe
from scripts.bench.scenes.footage import _different
from scripts.bench.scenes.picture import FPS, Sensor, from_bgr, split
from scripts.bench.scenes.weather import Exposure, Flicker, Foliage, Headlights, Jitter, Night, Rain

WH = (320, 180)
SECONDS = 6
SMALL = Drawn("small", 1, (), SECONDS, quiet_s=(1.0, 1.1), visit_s=(1.5, 1.6), wh=WH)


class FakeEye:
    """Sees how much there is in the picture."""

    def score(self, frame: Frame) -> float:
        return float(np.asarray(frame.y).std()) / 10


def test_equal_descriptions_give_equal_pictures_and_differ_only_while_visited() -> None:
    first, again = list(SMALL.pictures()), list(SMALL.pictures())
    ((begin, end),) = SMALL.active_s()

    assert len(first) == SECONDS * FPS
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    steps = [np.abs(a.astype(int) - first[0]).max() for a in first]
    quiet = [step for n, step in enumerate(steps) if not begin <= n / FPS < end]
    assert max(quiet) < 40 < max(steps)


@pytest.mark.parametrize(
    "weather",
    [Night(), Rain(50), Foliage(), Flicker(), Exposure(1.0), Headlights(1.0), Jitter()],
    ids=lambda weather: type(weather).__name__,
)
def test_weather_gives_pictures_of_the_same_kind_and_leaves_its_input_alone(weather: Weather) -> None:
    picture = from_bgr(np.full((180, 320, 3), 120, np.uint8))
    before = picture.copy()
    apply = weather.prepare(WH, ((1.0, 2.0),), 5)

    changed = [apply(picture, number) for number in range(0, 12 * FPS, 15)]

    assert all(one.shape == picture.shape and one.dtype == np.uint8 for one in changed)
    assert np.array_equal(picture, before)
    assert any(not np.array_equal(one, picture) for one in changed) or isinstance(weather, Jitter)


def test_grey_is_converted_by_bt709_limited_range() -> None:
    y, u, v = split(from_bgr(np.full((4, 4, 3), 255, np.uint8)))

    assert (y[0, 0], u[0, 0], v[0, 0]) == (235, 128, 128)


def test_an_event_is_shown_on_its_place_without_the_recordings_own_noise() -> None:
    ground = from_bgr(np.full((180, 320, 3), 100, np.uint8))
    picture = ground.copy()
    picture[:180] += np.random.default_rng(1).integers(0, 4, (180, 320), np.uint8)
    picture[60:120, 100:160] = 200

    shown = _different(ground, picture)

    assert np.array_equal(shown[65:115, 105:155], picture[65:115, 105:155])
    assert np.array_equal(shown[:40], ground[:40])
    assert np.array_equal(shown[140:180], ground[140:180])


def test_noise_reduction_calms_what_stands_still_and_follows_what_moves_at_once() -> None:
    still = np.full((270, 320), 90, np.uint8)
    sensor, reduction = Sensor((320, 180), 2.0, 5), NoiseReduction()
    for number in range(12):
        calm = reduction.reduce(sensor.expose(still, number))
    moved = still.copy()
    moved[40:140, 100:200] = 160
    noisy = sensor.expose(moved, 12)

    shown = reduction.reduce(noisy)

    assert calm[:180].std() < 1.0 < sensor.expose(still, 11)[:180].std()
    assert np.array_equal(shown[50:130, 110:190], noisy[50:130, 110:190])
    assert abs(float(shown[:30].mean()) - 90) < 0.5


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(b_frames=2), Recipe("hevc", level=28)], ids=lambda r: r.label)
def test_a_tape_matches_the_scene_it_was_made_from(tmp_path: Path, recipe: Recipe) -> None:
    """Pictures by number whatever their order in the file; the second time it comes from the cache."""
    shot = Shot(SMALL, (recipe,), held_out=True)
    cache = Cache(tmp_path, "fake")
    ticks: list[None] = []
    eye = FakeEye()
    shoot(shot, cache, eye, lambda: ticks.append(None))

    made = taped(shot, recipe, cache, eye, lambda: ticks.append(None))
    kept = taped(shot, recipe, cache, eye, lambda: ticks.append(None))

    assert len(made) == SECONDS * FPS == len(ticks) / 2
    assert sorted(made.picture) == list(range(SECONDS * FPS))
    assert made.delay == recipe.b_frames
    assert made.is_key.sum() == 3
    assert made.payloads == kept.payloads
    assert np.array_equal(made.thumbnails, kept.thumbnails)
    assert (made.cost_ns > 0).all()
    pristine = reference(shot, cache)
    assert np.abs(made.scores - pristine).max() < 0.2
    assert pristine.std() > 0.001


def test_the_detector_looks_everywhere_where_somebody_may_be() -> None:
    looked_at = looks(SMALL)
    ((begin, end),) = SMALL.active_s()

    assert all(looked_at(n) for n in range(round(begin * FPS), round(end * FPS)))
    assert not all(looked_at(n) for n in range(SECONDS * FPS))


def test_the_cache_knows_sources_and_their_code_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cache = Cache(tmp_path, "fake")
    other = Drawn("small", 1, (), 5.0, wh=WH)
    folder = cache.source(SMALL)

    assert folder != cache.source(other)
    monkeypatch.setattr(prepare, "_DRAWING_CODE", "changed")
    assert folder != cache.source(SMALL)


def test_without_footage_there_are_drawn_scenes_only(tmp_path: Path) -> None:
    there = [*held_out(tmp_path), *development(tmp_path)]

    assert there
    assert all("Recorded(" not in repr(shot.source) or Path("/usr/share/doc/opencv-doc").exists() for shot in there)
    names = [shot.scene(recipe) for shot in there for recipe in shot.recipes]
    assert len(set(names)) == len(names)
    assert all(shot.source.active_s() for shot in there)
