"""Open episodes, counts and last values."""

from __future__ import annotations

import json
from typing import Any

from pipelines.sink.mqtt_state import Episodes, Latest
from pipelines.values import AlertType
from tests.fakes import record


def event(episodes: Episodes, number: int, type_: AlertType, event_id: str = "e") -> dict[str, Any]:
    alert = record.alert(number, type=type_, event_id=event_id)
    decoded: dict[str, Any] = json.loads(episodes.event(alert, record.PlainEncoder().alert(alert)))
    return decoded


def test_before_is_the_episodes_previous_record() -> None:
    episodes = Episodes()

    events = [event(episodes, n, type_) for n, type_ in enumerate(AlertType)]

    assert [one["type"] for one in events] == ["new", "update", "end"]
    assert [one["before"]["task_id"] for one in events] == ["0", "0", "1"]
    assert [one["after"]["task_id"] for one in events] == ["0", "1", "2"]


def test_episodes_of_one_camera_do_not_mix() -> None:
    episodes = Episodes()
    event(episodes, 0, AlertType.NEW, "a")
    event(episodes, 1, AlertType.NEW, "b")

    assert event(episodes, 2, AlertType.UPDATE, "a")["before"]["task_id"] == "0"


def test_counts_follow_the_open_episodes_down_to_zero() -> None:
    episodes = Episodes()

    def counts(type_: AlertType, *classes: str, event_id: str = "e") -> dict[str, int]:
        episodes.event(record.alert(type=type_, classes=classes, event_id=event_id), b"{}")
        return dict(episodes.counts("door"))

    assert counts(AlertType.NEW, "person", "person") == {"person": 2}
    assert counts(AlertType.NEW, "person", "car", event_id="f") == {"car": 1, "person": 3}
    assert counts(AlertType.UPDATE, "person") == {"car": 1, "person": 2}
    assert counts(AlertType.END, "person", event_id="f") == {"car": 0, "person": 1}
    assert counts(AlertType.END, "person") == {"car": 0, "person": 0}
    assert episodes.counts("gate") == {}


def test_episodes_without_an_end_are_forgotten() -> None:
    """Bound: a lost end must not cost memory for ever."""
    episodes = Episodes()

    for number in range(1000):
        event(episodes, number, AlertType.NEW, event_id=str(number))

    assert episodes.counts("door") == {"person": 64}


def test_newer_value_replaces_an_unsent_one() -> None:
    latest = Latest()
    latest.put("a", b"1")
    latest.put("a", b"2")

    assert latest.take() == {"a": b"2"}
    assert not latest.has_unsent


def test_value_that_is_no_news_is_not_sent_again() -> None:
    latest = Latest()
    latest.put("a", b"1")
    latest.take()

    latest.put("a", b"1")

    assert not latest.has_unsent


def test_new_connection_hears_every_last_value() -> None:
    latest = Latest()
    latest.put("a", b"1")
    latest.put("b", b"2")
    latest.take()

    latest.renew()

    assert latest.take() == {"a": b"1", "b": b"2"}
