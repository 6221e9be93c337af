"""Which rows count."""

from __future__ import annotations

import numpy as np

from pipelines.postprocess.select import select
from pipelines.values import F32


def rows_of(*scores_and_classes: tuple[float, float]) -> F32:
    return np.array([[0, 0, 10, 10, score, kind] for score, kind in scores_and_classes], np.float32)


def test_the_threshold_itself_counts() -> None:
    rows = rows_of((0.75, 0), (0.5, 1), (0.49, 0))

    assert select(rows, 0.5, 2)[:, 4].tolist() == [0.75, 0.5]


def test_unused_rows_never_count() -> None:
    assert len(select(rows_of((0.0, 0)), 0.0, 2)) == 0


def test_only_wanted_classes_count() -> None:
    rows = rows_of((0.9, 0), (0.8, 1), (0.7, 2))

    assert select(rows, 0.1, 3, {0, 2})[:, 5].tolist() == [0, 2]
    assert len(select(rows, 0.1, 3, ())) == 0


def test_rows_that_make_no_sense_are_left_out() -> None:
    """They come from another process."""
    rows = rows_of((0.9, 2), (0.9, -1), (np.nan, 0), (np.inf, 0), (0.8, 1))
    broken = rows_of((0.7, 0))
    broken[0, 2] = np.nan

    assert select(np.concatenate([rows, broken]), 0.1, 2)[:, 5].tolist() == [1]


def test_the_result_owns_its_memory() -> None:
    rows = rows_of((0.9, 0))

    select(rows, 0.1, 1)[:] = 0

    assert rows[0, 4] == np.float32(0.9)
