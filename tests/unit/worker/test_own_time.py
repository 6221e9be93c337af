"""What batches took that overlapped."""

from __future__ import annotations

from pipelines.worker.own_time import OwnTime


def test_alone_a_batch_has_all_of_its_time() -> None:
    own = OwnTime()
    assert [own.ended(10, 15), own.ended(15, 21), own.ended(40, 43)] == [5, 6, 3]


def test_one_after_the_other_each_has_the_engine_s_time() -> None:
    own = OwnTime()
    assert own.ended(0, 10) == 10
    assert [own.ended(at - 9, at + 10) for at in (10, 20, 30)] == [10, 10, 10]


def test_two_that_end_together_share_their_time() -> None:
    own = OwnTime()
    own.ended(0, 10)
    assert [own.ended(1, 30), own.ended(11, 31), own.ended(30, 50), own.ended(31, 51)] == [15, 10, 10, 10]


def test_one_that_overtook_the_one_before_took_some_time_too() -> None:
    own = OwnTime()
    own.ended(0, 10)
    assert own.ended(2, 8) >= 1
    assert own.ended(20, 30) == 10
