"""Batch sizes where memory is short, on virtual time."""

from __future__ import annotations

from pipelines.worker.limit import AGAIN_NS, BatchLimit


def test_half_of_what_found_no_room() -> None:
    limit = BatchLimit(8)
    assert limit.at(0) == 8
    limit.failed(8, 0)
    assert limit.at(1) == 4
    limit.failed(3, 1)
    assert limit.at(2) == 1
    limit.failed(1, 2)
    assert limit.at(3) == 1
    assert limit.failures == 3


def test_a_smaller_batch_that_failed_before_does_not_widen_it() -> None:
    limit = BatchLimit(8)
    limit.failed(2, 0)
    limit.failed(8, 0)  # another one that was on its way
    assert limit.at(1) == 1


def test_it_grows_again_step_by_step_to_where_it_was() -> None:
    limit = BatchLimit(6)
    limit.failed(6, 0)
    limit.failed(3, 0)
    sizes = [limit.at(AGAIN_NS * step - early) for step in (1, 2, 3, 4) for early in (1, 0)]
    assert sizes == [1, 2, 2, 4, 4, 6, 6, 6]


def test_a_size_that_fails_again_waits_again() -> None:
    limit = BatchLimit(4)
    limit.failed(4, 0)
    assert limit.at(AGAIN_NS) == 4
    limit.failed(4, AGAIN_NS)
    assert limit.at(2 * AGAIN_NS - 1) == 2
    assert limit.at(2 * AGAIN_NS) == 4
