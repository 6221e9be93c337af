"""When failing batches speak against the model."""

from __future__ import annotations

from pipelines.worker.health import STRIKES, Health


def test_it_turns_bad_once_after_some_batches_in_a_row() -> None:
    health = Health()
    assert [health.ended(0) for _ in range(STRIKES + 2)] == [False] * (STRIKES - 1) + [True, False, False]
    assert health.bad


def test_one_good_answer_makes_it_good() -> None:
    health = Health()
    for _ in range(STRIKES - 1):
        health.ended(0)
    health.ended(1)
    assert not health.ended(0)
    assert not health.bad
    for _ in range(STRIKES):
        health.ended(0)
    health.ended(4)
    assert not health.bad
