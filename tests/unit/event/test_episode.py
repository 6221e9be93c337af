"""Episodes: one `new`, updates in measure, one `end`, whatever comes in whatever order."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.event.episode import EpisodeOptions, EpisodeTracker
from pipelines.values import Alert, AlertType, Timeline
from tests.unit.event.build import SECOND, START_NS, WALL_MS, Found, frame, kinds, now

NEW, UPDATE, END = AlertType.NEW, AlertType.UPDATE, AlertType.END


def tracker(**options: object) -> EpisodeTracker:
    return EpisodeTracker("yard", EpisodeOptions.model_validate(options))


def play(track: EpisodeTracker, *frames: tuple[float, *tuple[Found, ...]]) -> list[Alert]:
    """Each frame is answered 0.05 s after its arrival."""
    return [alert for at, *found in frames for alert in track.update(frame(at, *found), now(at + 0.05))]


def test_unset_scores_come_from_the_model_s_card() -> None:
    track = tracker()
    weak = replace(frame(0.0, ("person", 0.65)), score_threshold=0.7)
    strong = replace(frame(0.2, ("person", 0.75)), score_threshold=0.7)
    kept = replace(frame(1.4, ("person", 0.57)), score_threshold=0.7)
    assert kinds([a for f in (weak, strong, kept) for a in track.update(f, now(1.5))]) == [NEW, UPDATE]


def test_life_of_an_episode() -> None:
    track = tracker()

    alerts = play(
        track,
        (0.0,),
        (0.2, ("person", 0.7)),
        (0.4, ("person", 0.9, (1.0, 2.0, 3.0, 4.0))),
        (1.3, ("person", 0.6)),
        (1.5,),
    )
    assert (track.alive, track.tick(now(3.2))) == (True, [])
    alerts += track.tick(now(3.4))

    assert kinds(alerts) == [NEW, UPDATE, END]
    assert len({alert.event_id for alert in alerts}) == 1
    assert [alert.time_ms - WALL_MS for alert in alerts] == [200, 1300, 1300]
    assert {alert.started_ms - WALL_MS for alert in alerts} == {200}
    assert (track.alive, track.tick(now(9))) == (False, [])


def test_the_end_shows_the_best_and_has_no_timeline() -> None:
    """An `end` is caused by no frame, so it must not enter any latency; its boxes are the episode's best."""
    track = tracker()
    play(track, (0.0, ("person", 0.6)), (0.2, ("car", 0.95, (1.0, 2.0, 3.0, 4.0))), (0.4, ("person", 0.7)))

    (end,) = track.tick(now(5))

    assert (end.classes, end.boxes, end.task_id) == (("car",), ((1.0, 2.0, 3.0, 4.0),), "200")
    assert end.scores == pytest.approx((0.95,))
    assert end.timeline == Timeline()
    assert end.reason == "gone"


def test_updates_come_at_most_once_a_second() -> None:
    alerts = play(tracker(), *((i / 5, ("person", 0.8)) for i in range(26)))

    assert [alert.time_ms - WALL_MS for alert in alerts] == [0, 1000, 2000, 3000, 4000, 5000]


def test_a_new_class_is_told_at_once_but_flicker_is_not() -> None:
    person, car = ("person", 0.8), ("car", 0.8)

    alerts = play(tracker(), (0.0, person), (0.2, person, car), (0.4, person), (0.6, car), (0.8, person, car))

    assert [alert.classes for alert in alerts] == [("person",), ("person", "car")]


def test_two_visits_are_two_episodes() -> None:
    alerts = play(tracker(), (0.0, ("person", 0.8)), (2.0, ("person", 0.8)))

    assert kinds(alerts) == [NEW, END, NEW]
    assert alerts[0].event_id == alerts[1].event_id != alerts[2].event_id


def test_a_gap_shorter_than_the_end_is_one_episode() -> None:
    assert kinds(play(tracker(), (0.0, ("person", 0.8)), (0.9,), (1.9, ("person", 0.8)))) == [NEW, UPDATE]


def test_a_slow_worker_ends_nothing_early() -> None:
    """Answers 1.8 s late, every 0.4 s: the tick between must not count the worker's delay as absence."""
    track = tracker()
    alerts = []
    for i in range(10):
        alerts += track.update(frame(i * 0.4, ("person", 0.8)), now(i * 0.4 + 1.8))
        alerts += track.tick(now(i * 0.4 + 2.19))

    assert END not in kinds(alerts)


def test_hysteresis() -> None:
    track = tracker(min_score=0.5, keep_score=0.4)

    assert play(track, (0.0, ("person", 0.45))) == []
    assert kinds(play(track, (0.2, ("person", 0.55)), (1.5, ("person", 0.45)), (3.0, ("person", 0.45)))) == [
        NEW,
        UPDATE,
        UPDATE,
    ]
    assert kinds(play(track, (4.9, ("person", 0.39)), (5.1, ("person", 0.39)))) == [END]


def test_scores_at_the_threshold_count() -> None:
    """float32 0.7 is a little less than 0.7: the comparison must be made in float32."""
    assert kinds(play(tracker(min_score=0.7), (0.0, ("person", 0.7)))) == [NEW]


def test_confirmation_wants_frames_in_a_row() -> None:
    track = tracker(confirm_frames=3)
    seen = ("person", 0.8)

    assert play(track, (0.0, seen), (0.2, seen), (0.4,), (0.6, seen), (0.8, seen)) == []
    (alert,) = play(track, (1.0, seen))

    assert (alert.started_ms - WALL_MS, alert.time_ms - WALL_MS) == (600, 1000)


def test_a_streak_goes_stale() -> None:
    track = tracker(confirm_frames=2)

    assert play(track, (0.0, ("person", 0.8)), (5.0, ("person", 0.8))) == []


@pytest.mark.parametrize(
    ("options", "alarms"),
    [
        ({}, True),
        ({"classes": ("person",)}, True),
        ({"classes": ("car", "dog")}, False),
        ({"min_area": 0.03}, True),
        ({"min_area": 0.05}, False),
        ({"masks": [[(0, 0.5), (0.5, 0.5), (0.5, 1), (0, 1)]]}, False),
        ({"masks": [[(0, 0), (0.5, 0), (0.5, 0.4), (0, 0.4)]]}, True),
        ({"include_masks": [[(0, 0.5), (0.5, 0.5), (0.5, 1), (0, 1)]]}, True),
        ({"include_masks": [[(0, 0), (0.5, 0), (0.5, 0.4), (0, 0.4)]]}, False),
    ],
)
def test_what_counts(options: dict[str, object], alarms: bool) -> None:
    """The box covers 0.04 of the picture; its bottom centre is at (0.15, 0.6)."""
    assert bool(play(tracker(**options), (0.0, ("person", 0.8)))) == alarms


def test_only_what_counts_is_shown() -> None:
    (alert,) = play(tracker(classes=("car",)), (0.0, ("person", 0.9), ("car", 0.8), ("dog", 0.7)))

    assert alert.classes == ("car",)
    assert len(alert.boxes) == len(alert.scores) == 1


def test_presence_alone_raises_an_alert_without_boxes() -> None:
    track = tracker()

    (alert,) = track.update(frame(0, degraded="presence"), now(0))
    (update,) = track.update(frame(0.2, ("person", 0.8)), now(0.3))

    assert (alert.boxes, alert.degraded) == ((), "presence")
    assert (update.type, update.classes, update.degraded) == (UPDATE, ("person",), None)
    assert tracker(presence_alerts=False).update(frame(0, degraded="presence"), now(0)) == []


def test_late_answers_do_not_go_back_in_time() -> None:
    """Frame 0.4 is answered before 0.2: it neither updates nor prolongs, but it may be the best."""
    track = tracker(update_interval_s=0.1)
    alerts = play(track, (0.0, ("person", 0.6)), (0.4, ("person", 0.6)), (0.2, ("car", 0.9)))
    alerts += track.tick(now(5))

    assert kinds(alerts) == [NEW, UPDATE, END]
    assert [alert.time_ms - WALL_MS for alert in alerts] == [0, 400, 400]
    assert alerts[-1].classes == ("car",)


def test_an_empty_late_frame_does_not_break_a_streak() -> None:
    track = tracker(confirm_frames=2)

    assert kinds(play(track, (1.0, ("person", 0.8)), (0.8,), (1.2, ("person", 0.8)))) == [NEW]


def test_a_late_frame_can_begin_an_episode() -> None:
    """The only frame that shows somebody is overtaken by an empty one: still an alert."""
    assert kinds(play(tracker(), (0.4,), (0.2, ("person", 0.8)))) == [NEW]


def test_a_frame_from_before_the_end_is_ignored_and_counted() -> None:
    track = tracker()
    play(track, (0.0, ("person", 0.8)))
    track.tick(now(3))

    assert play(track, (1.5, ("person", 0.8))) == []
    assert track.statistics().late_ignored == 1
    assert kinds(play(track, (2.0, ("person", 0.8)))) == [NEW]


def test_close_ends_and_refuses_what_was_in_flight() -> None:
    track = tracker()
    play(track, (0.0, ("person", 0.8)))

    (end,) = track.close(now(1), "stopped")

    assert (end.type, end.reason) == (END, "stopped")
    assert play(track, (0.9, ("person", 0.8))) == []
    assert track.close(now(2), "stopped") == []
    assert kinds(play(track, (2.1, ("person", 0.8)))) == [NEW]


def test_a_wall_clock_that_steps_back_does_not_take_the_episode_along() -> None:
    track = tracker()
    alerts = play(track, (0.0, ("person", 0.8)))
    alerts += track.update(replace(frame(1.0, ("person", 0.8)), wall_ms=WALL_MS - 60_000), now(1.1))
    alerts += track.tick(now(9))

    assert [alert.time_ms for alert in alerts] == [WALL_MS] * 3


def test_nan_scores_and_unnamed_classes() -> None:
    assert play(tracker(min_score=0.0), (0.0, ("person", float("nan")))) == []
    (alert,) = tracker().update(replace(frame(0.0, ("dog", 0.9)), class_names=("person",)), now(0))
    assert alert.classes == ("class_2",)


def test_statistics_count_alerts_by_new() -> None:
    track = tracker()
    play(track, (0.0, ("person", 0.8)), (1.0, ("person", 0.8)), (9.0, ("person", 0.8)))

    figures = track.statistics()
    assert (figures.new, figures.updates, figures.ends) == (2, 1, 1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"min_score": 0.5, "keep_score": 0.6}, "above min_score"),
        ({"masks": [[(0, 0), (1, 1)]]}, "at least 3 points"),
        ({"min_area": 2}, "less than or equal to 1"),
        ({"confirm_frames": 0}, "greater than or equal to 1"),
        ({"min_socre": 0.5}, "Extra inputs"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        EpisodeOptions.model_validate(options)


def test_every_option_is_documented() -> None:
    assert [name for name, field in EpisodeOptions.model_fields.items() if not field.description] == []


steps = st.lists(
    st.tuples(
        st.sampled_from(["frame", "frame", "frame", "tick", "close"]),
        st.integers(0, 15),
        st.integers(0, 30),
        st.lists(st.tuples(st.sampled_from(["person", "car", "dog"]), st.floats(0, 1, width=32)), max_size=2),
    ),
    max_size=60,
)


@given(steps, st.integers(1, 3))
def test_whatever_happens_records_form_episodes(script: list[tuple[str, int, int, list[Found]]], confirm: int) -> None:
    """Frames of any age, ticks and closes: (new update* end)*, one id each, no time runs back, and close ends all."""
    track = tracker(confirm_frames=confirm, classes=("person", "car"))
    alerts: list[Alert] = []
    clock = 100.0
    for what, step, age, found in script:
        clock += step / 5
        if what == "frame":
            alerts += track.update(frame(clock - age / 10, *found), now(clock))
        elif what == "tick":
            alerts += track.tick(now(clock))
        else:
            alerts += track.close(now(clock), "stopped")
        assert track.alive == (bool(alerts) and alerts[-1].type is not END)
    alerts += track.close(now(clock), "stopped")

    check_grammar(alerts)
    figures = track.statistics()
    assert figures.new == figures.ends == kinds(alerts).count(NEW)
    assert all(set(alert.classes) <= {"person", "car"} and alert.boxes for alert in alerts)


def check_grammar(alerts: list[Alert]) -> None:
    """(new update* end)*, ids shared within and different between, started <= time, time never decreasing."""
    followers = {None: {NEW}, NEW: {UPDATE, END}, UPDATE: {UPDATE, END}, END: {NEW}}
    for before, after in pairwise([None, *alerts]):
        assert after is not None
        assert after.type in followers[before.type if before else None]
        assert after.started_ms <= after.time_ms
        if before is not None and after.type is not NEW:
            assert after.event_id == before.event_id
            assert (after.started_ms, after.time_ms) >= (before.started_ms, before.time_ms)
    if alerts:
        assert alerts[-1].type is END
    begun = [alert.event_id for alert in alerts if alert.type is NEW]
    assert len(set(begun)) == len(begun)


def test_arrival_missing_means_now() -> None:
    track = tracker()
    track.update(replace(frame(0.0, ("person", 0.8)), timeline=Timeline()), START_NS)

    assert track.tick(now(1.9)) == []
    assert kinds(track.tick(now(2.0))) == [END]


def test_media_time_from_zero() -> None:
    """A file read as fast as possible: the first frame is at 0, arrivals mean nothing, and `now` is media time."""
    track = tracker()
    alerts = []
    for i in range(40):
        found = [("person", 0.8)] if i < 10 or i >= 30 else []
        result = replace(frame(0.0, *found), time_ns=i * SECOND // 5, timeline=Timeline(arrival_ns=START_NS))
        alerts += track.update(result, result.time_ns)

    assert kinds(alerts) == [NEW, UPDATE, END, NEW, UPDATE]
