"""How a frozen Reshape is taken apart."""

from __future__ import annotations

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.model.change import Change
from pipelines.model.grid import Grid
from pipelines.model.reshape import map_pairs, match_sides


@pytest.mark.parametrize(
    ("before", "after", "parts"),
    [
        ([1, 85, 52, 52], [1, 85, 2704], [([0], [0]), ([1], [1]), ([2, 3], [2])]),
        ([1, 255, 80, 80], [1, 3, 85, 80, 80], [([0], [0]), ([1], [1, 2]), ([2], [3]), ([3], [4])]),
        ([1, 400, 256], [8, 400, 32], [([0, 1, 2], [0, 1, 2])]),
        ([1, 6], [6], [([0, 1], [0])]),
        ([6], [1, 6, 1], [([0], [0, 1]), ([], [2])]),
    ],
)
def test_parts_with_equal_products(
    before: list[int], after: list[int], parts: list[tuple[list[int], list[int]]]
) -> None:
    assert match_sides(before, after) == parts


SIDES = st.lists(st.sampled_from([1, 2, 3, 4, 8]), min_size=1, max_size=5)


@given(SIDES.flatmap(lambda before: st.tuples(st.just(before), st.permutations(before))))
def test_parts_cover_every_side_once(shapes: tuple[list[int], list[int]]) -> None:
    before, after = shapes

    parts = match_sides(before, after)

    assert [i for took, _ in parts for i in took] == list(range(len(before)))
    assert [j for _, gave in parts for j in gave] == list(range(len(after)))
    assert all(prod(before[i] for i in took) == prod(after[j] for j in gave) for took, gave in parts)


def test_unequal_sizes_are_an_error() -> None:
    with pytest.raises(ValueError, match="cannot turn"):
        match_sides([2, 3], [7])


def test_feature_maps_follow_the_input() -> None:
    change = Change((416, 416), (416, 256), Grid((8, 16, 32)))

    assert change.candidates == 3549
    assert map_pairs([1, 128, 13, 13], change.maps()) == [1, 128, 8, 13]
    assert map_pairs([1, 26, 26, 85], change.maps()) == [1, 16, 26, 85]
    assert map_pairs([1, 7, 9], change.maps()) == [1, 7, 9]
