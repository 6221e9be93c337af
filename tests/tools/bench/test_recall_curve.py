"""Reading a saving off a curve."""

from __future__ import annotations

from scripts.bench.recall.curve import Point, best_at, pool, saved_at


def point(setting: float, saved: float, hits: int, events: int = 20) -> Point:
    return Point(setting, round(1000 * (1 - saved)), 1000, events, hits)


def test_the_best_saving_of_at_least_that_recall_is_read_off() -> None:
    curve = [point(1, 0.5, 20), point(2, 0.8, 19), point(3, 0.9, 18), point(4, 0.95, 17)]

    assert saved_at(curve) == {"90": 0.9, "95": 0.8, "99": 0.5}


def test_a_recall_that_nothing_reaches_saves_nothing() -> None:
    assert saved_at([point(1, 0.5, 10)]) == {"90": 0.0, "95": 0.0, "99": 0.0}


def test_a_gate_that_costs_more_than_it_saves_saves_nothing() -> None:
    assert saved_at([Point(1, 1200, 1000, 4, 4)])["90"] == 0.0


def test_without_events_no_recall_is_reached() -> None:
    assert best_at([point(1, 0.9, 0, events=0)], 90) is None


def test_scenes_are_pooled_at_one_setting_for_all() -> None:
    """No scene gets the threshold that suits it best: costs and events are summed setting by setting."""
    pooled = pool([point(1, 0.5, 4, 4), point(2, 0.9, 2, 4), Point(1, 100, 3000, 6, 5, 1), Point(2, 50, 3000, 6, 5)])

    assert pooled == [Point(1, 600, 4000, 10, 9, 1), Point(2, 150, 4000, 10, 7)]
    assert pooled[0].recall == 0.9
