"""What an event is, what a hit, and how sure a share is."""

from __future__ import annotations

import pytest

from scripts.bench.recall.event import GRACE_S, Detection, Event, events, hits, wilson


def test_an_event_begins_for_us_where_the_reference_sees_it_first() -> None:
    found, unseen = events([(10, 15), (30, 35), (50, 55)], [5.0, 11.2, 11.3, 36.0, 50.0])

    assert found == [Event(10, 11.2, 15), Event(50, 50.0, 55)]
    assert unseen == 1


def test_what_begins_while_cameras_learn_does_not_count() -> None:
    assert events([(10, 15)], [11.0], from_s=20) == ([], 0)


@pytest.mark.parametrize(
    ("time_s", "met"),
    [(9.9, False), (10.0, True), (11.2, True), (11.2 + GRACE_S, True), (11.2 + GRACE_S + 0.04, False)],
)
def test_a_hit_is_within_half_a_second_of_the_reference(time_s: float, met: bool) -> None:
    (hit,) = hits([Event(10, 11.2, 15)], [Detection(time_s, heartbeat=False)])

    assert (hit.delay_s is not None) is met
    assert not met or hit.delay_s == pytest.approx(time_s - 11.2)


def test_a_hit_of_the_heartbeat_alone_is_marked() -> None:
    event = Event(10, 11, 15)

    (alone,) = hits([event], [Detection(11.0, heartbeat=True)])
    (beside,) = hits([event], [Detection(11.0, heartbeat=True), Detection(11.4, heartbeat=False)])

    assert alone.heartbeat
    assert not beside.heartbeat
    assert beside.delay_s == pytest.approx(0.4)


def test_the_interval_is_wilsons() -> None:
    """Figures of Wilson's formula worked by hand; at the ends it does not leave 0..1."""
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(10, 10)[1] == 1.0
    assert wilson(0, 10)[0] == 0.0
    assert wilson(0, 0) == (0.0, 1.0)
