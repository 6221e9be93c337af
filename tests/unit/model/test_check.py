"""The numeric check sees what it is there to see."""

from __future__ import annotations

import numpy as np

from pipelines.model.check import row_difference, same_outputs

ROWS = np.array([[0, 0, 9, 9, 0.9, 1], [1, 1, 8, 8, 0.5, 0], [2, 2, 7, 7, 0.1, 2]], np.float32)


def test_equal_rows_in_any_order_of_equal_scores() -> None:
    twins = ROWS.copy()
    twins[1, 4] = twins[2, 4]

    assert row_difference(ROWS[:2], ROWS) == 0.0
    assert row_difference(twins[[0, 2, 1]], twins) == 0.0


def test_a_wrong_box_score_class_or_choice_shows() -> None:
    for column in range(6):
        wrong = ROWS.copy()
        wrong[0, column] += 0.25
        assert row_difference(wrong, ROWS) >= 0.25
    assert row_difference(ROWS[1:], ROWS) > 0.3, "the best row is missing"


def test_nan_is_never_equal() -> None:
    broken = ROWS.copy()
    broken[1, 2] = np.nan

    assert row_difference(broken, ROWS) == np.inf
    assert same_outputs({"a": ROWS}, {"a": broken}) == np.inf


def test_other_names_or_shapes_are_never_equal() -> None:
    assert same_outputs({"a": ROWS}, {"a": ROWS}) == 0.0
    assert same_outputs({"a": ROWS}, {"b": ROWS}) == np.inf
    assert same_outputs({"a": ROWS}, {"a": ROWS[:1]}) == np.inf
