"""A worker is absent, silent, failing or sound; who does not answer is probed, and believed at its first word."""

from __future__ import annotations

import pytest

from pipelines.standin.options import DegradedOptions
from pipelines.standin.watch import WorkerWatch
from pipelines.values import FAILED_CODES, AnswerCode

MS = 1_000_000
OK = AnswerCode.OK


def attached() -> WorkerWatch:
    watch = WorkerWatch(DegradedOptions(silence_ms=500, failures=3, probe_ms=400))
    watch.attached(0)
    return watch


def test_without_a_lane_nothing_goes_to_the_worker() -> None:
    watch = WorkerWatch(DegradedOptions())
    assert not watch.gives(10_000 * MS)
    assert "yet" in watch.reason
    watch.attached(0)
    assert watch.gives(0)
    assert watch.reason == ""
    watch.lost("killed")
    assert not watch.gives(10_000 * MS)
    assert watch.reason == "no worker is attached: killed"


def test_silence_counts_from_the_oldest_task_and_from_the_last_answer() -> None:
    watch = attached()
    watch.look(9_000 * MS, None, 0)  # nothing is out
    watch.look(9_000 * MS, 8_600 * MS, 0)
    assert watch.reason == ""
    watch.heard(OK, 9_000 * MS)
    watch.look(9_400 * MS, 8_600 * MS, 0)  # slow, but it answers
    assert watch.reason == ""
    watch.look(9_501 * MS, 8_600 * MS, 0)
    assert "answered none for 0.5 s" in watch.reason


def test_a_worker_that_usually_takes_long_may_be_silent_for_longer() -> None:
    watch = attached()
    watch.look(800 * MS, 0, 300 * MS)
    assert watch.reason == ""
    watch.look(901 * MS, 0, 300 * MS)
    assert watch.reason


@pytest.mark.parametrize("code", [OK, AnswerCode.LATE, AnswerCode.ENGINE_FAILED])
def test_any_answer_ends_silence(code: AnswerCode) -> None:
    watch = attached()
    watch.look(1_000 * MS, 0, 0)
    assert not watch.gives(1_000 * MS)
    watch.heard(code, 1_100 * MS)
    assert watch.gives(1_100 * MS)


def test_one_frame_at_a_time_probes() -> None:
    watch = attached()
    watch.look(1_000 * MS, 0, 0)
    given = [ms for ms in range(1_000, 2_300, 100) if watch.gives(ms * MS)]
    assert given == [1_400, 1_800, 2_200]


@pytest.mark.parametrize("code", sorted(FAILED_CODES))
def test_failures_in_a_row_are_believed_until_one_goes_well(code: AnswerCode) -> None:
    watch = attached()
    for said in (code, code, OK, code, code, AnswerCode.LATE):
        watch.heard(said, 0)
        assert watch.gives(0)
    watch.heard(code, 0)
    assert not watch.gives(0)
    assert code.name.lower() in watch.reason
    watch.heard(AnswerCode.LATE, 0)
    assert not watch.gives(0), "late is no proof of work"
    watch.heard(OK, 0)
    assert watch.gives(0)


def test_a_new_lane_begins_anew() -> None:
    watch = attached()
    for _ in range(3):
        watch.heard(AnswerCode.BAD_OUTPUT, 0)
    watch.look(1_000 * MS, 0, 0)
    watch.lost("killed")
    watch.attached(2_000 * MS)
    assert watch.reason == ""
