"""The memory sink keeps the newest records and no pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipelines.contracts import Sink
from pipelines.sink.memory import MemoryOptions, MemorySink
from tests.fakes import record


def test_newest_records_are_kept() -> None:
    sink = MemorySink(MemoryOptions(alerts=2))

    for number in range(5):
        sink.alert(record.alert(number))

    assert [alert.task_id for alert in sink.alerts] == ["3", "4"]
    assert sink.statistics().acked == 5


def test_alert_is_acknowledged_at_once() -> None:
    acknowledged: list[tuple[str, int]] = []
    sink: Sink = MemorySink(acked=lambda alert, ns: acknowledged.append((alert.task_id, ns)), clock_ns=lambda: 42)

    sink.alert(record.alert(7))

    assert acknowledged == [("7", 42)]


def test_results_are_kept_only_when_wanted_and_without_the_picture() -> None:
    picture: Any = object()
    with_picture = replace(record.result(), frame=picture)
    without, keeping = MemorySink(), MemorySink(MemoryOptions(results=1))

    without.result(with_picture)
    keeping.result(with_picture)

    assert not without.results
    assert keeping.results[0].frame is None
    assert (without.statistics().offered, keeping.statistics().offered) == (0, 1)


def test_health_is_kept() -> None:
    sink = MemorySink()

    sink.health(record.health())

    assert [change.camera_id for change in sink.changes] == ["door"]
