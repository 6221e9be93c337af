"""The timelines of the capacity bench: sparse, different, and as they were."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from scripts.bench.cameras_scene import REAL_FPS, Scene, groups, length_s, real_order, scenes, sparse
from scripts.footage.place import place
from scripts.footage.story import Actor, story


def crowd(variant: int) -> tuple[tuple[Actor, ...], np.random.Generator]:
    rng = np.random.default_rng(variant)
    return story(place(variant, (320, 180), rng), (320, 180), 60.0, rng), rng


@pytest.mark.parametrize("variant", [0, 1])
def test_groups_are_spread_and_never_meet(variant: int) -> None:
    scene = Scene(variant, 100.0, activity=0.15)
    actors, rng = crowd(variant)
    spread = groups(sparse(actors, scene, rng))
    spans = [(min(a.start_s for a in group), max(a.end_s for a in group)) for group in spread]
    assert 0.05 * 100 < sum(length_s(group) for group in spread) < 0.25 * 100
    assert spans[0][0] >= 4.0
    assert spans[-1][1] <= 96.0
    assert all(b[0] - a[1] >= 4.0 - 1e-9 for a, b in pairwise(spans))


def test_a_real_timeline_has_one_visit_in_an_empty_place() -> None:
    for variant in range(4):
        order = real_order(Scene(variant, 100.0, real=True))
        assert len(order) == 100 * REAL_FPS
        busy = [n for n, frame in enumerate(order) if not 198 <= frame <= 226]
        assert 0.08 < len(busy) / len(order) < 0.12
        assert busy[0] > 0.2 * len(order)
        assert busy[-1] < 0.9 * len(order)


def test_timelines_differ() -> None:
    made = scenes(8, 2, seconds=50.0)
    assert len(set(made)) == 8
    assert all(scene.frames == 1250 for scene in made)
