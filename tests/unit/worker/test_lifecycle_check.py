"""What a candidate may answer, and how near to the reference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pipelines.errors import EngineError, ModelError
from pipelines.values import F32
from pipelines.worker.lifecycle_check import check_engine, row_gaps
from tests.fakes.lane import CARD, ToyEngine, one_box

PLANES = np.zeros((3, CARD.input_h * 3 // 2, CARD.input_w), np.uint8)
COLOR = np.zeros((3, 3, 4), np.float32)


class Altered(ToyEngine):
    """One box per picture, and what `alter` makes of a batch's answers."""

    def __init__(self, alter: Callable[[F32], F32]) -> None:
        super().__init__(max_batch=4)
        self.alter = alter

    def infer(self, payloads: object, color: F32) -> F32:
        return self.alter(np.stack([one_box()] * len(color)))


def put(cell: tuple[int, int], value: float) -> Callable[[F32], F32]:
    """Sets a (row, column) of every answer."""

    def alter(rows: F32) -> F32:
        rows[:, cell[0], cell[1]] = value
        return rows

    return alter


def test_a_sound_engine_passes() -> None:
    report = check_engine(ToyEngine(), PLANES, COLOR, np.stack([one_box()] * 3))
    assert (report.pictures, report.batch, report.score_gap, report.box_gap_px) == (3, 3, 0.0, 0.0)
    assert report.compared
    assert not check_engine(ToyEngine(), PLANES, COLOR, None).compared


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (put((0, 0), np.nan), "not finite"),
        (put((0, 4), np.inf), "not finite"),
        (put((0, 4), 1.5), r"scores from 0 to 1\.5: not 0\.\.1"),
        (put((1, 4), -0.5), "not 0..1"),
        (put((1, 4), 0.95), "best rows first"),
        (put((0, 5), 2.0), "class that its card's 2 names do not have"),
        (put((0, 5), 0.5), "class that its card"),
        (lambda rows: rows[:, :3], r"answers \(3, 6\), its card says \(4, 6\)"),
        (put((0, 4), 0.8), r"prepared: scores by 0\.1 "),
        (put((0, 0), 12.0), r"prepared: .*boxes by 4 px \(allowed 0\.64\)"),
        (lambda rows: rows if len(rows) == 1 else put((0, 4), 0.7)(rows), "a batch of 3 differs from one picture"),
    ],
)
def test_an_engine_that_must_not_take_over(alter: Callable[[F32], F32], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        check_engine(Altered(alter), PLANES, COLOR, np.stack([one_box()] * 3))


def test_an_engine_that_fails_is_refused() -> None:
    engine = ToyEngine()

    def fail(size: int) -> None:
        raise EngineError("no memory")

    engine.act = fail
    with pytest.raises(ModelError, match="toy does not run: no memory"):
        check_engine(engine, PLANES, COLOR, None)


def test_equal_scores_may_come_in_either_order() -> None:
    rows = one_box()
    rows[1] = (1, 2, 3, 4, 0.9, 0)
    swapped = rows[[1, 0, 2, 3]]
    assert row_gaps(swapped, rows) == (0.0, 0.0)


def test_a_box_of_another_class_is_no_match() -> None:
    assert row_gaps(one_box(label=1), one_box(label=0))[1] == float("inf")


def test_rows_near_the_last_are_not_looked_for() -> None:
    """Which of many weak candidates comes last is chance."""
    rows = np.zeros((CARD.top_k, 6), np.float32)
    rows[:, 4] = 0.1
    other = rows.copy()
    other[:, :4] = 30
    assert row_gaps(rows, other) == (0.0, 0.0)
