"""How a frozen Reshape is taken apart and put together for another size."""

from __future__ import annotations

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ModelError
from pipelines.model.change import Change
from pipelines.model.grid import Grid
from pipelines.model.sides import map_pairs, match_sides, new_sides


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


MAPS = Change((416, 416), (416, 256), None).maps()


@pytest.mark.parametrize(
    ("before", "after", "now", "sides"),
    [
        ([1, 85, 52, 52], [1, 85, 2704], [1, 85, 32, 52], [0, 85, 1664]),
        ([1, 255, 13, 13], [1, 3, 85, 13, 13], [1, 255, 8, 13], [0, 3, 85, 8, 13]),
        ([1, 128, 169], [1, 128, 13, 13], [1, 128, 104], [0, 128, 8, 13]),
        ([1, 64, 64], [1, 8, 8, 64], [1, 64, 40], [0, 8, 8, 40]),
        ([1, 676, 192], [4, 169, 192], [1, 416, 192], [-1, 104, 192]),
        ([4, 169, 64], [1, 676, 64], [4, 104, 64], [-1, 416, 64]),
        ([1, 169, 256], [8, 169, 32], [1, 104, 256], [-1, 104, 32]),
        ([1, 3, 85], [1, 255], [1, 3, 85], [0, 255]),
    ],
    ids=["flatten", "anchors", "unflatten", "channels", "areas", "areas back", "heads", "unchanged"],
)
def test_new_sides(before: list[int], after: list[int], now: list[int], sides: list[int]) -> None:
    assert new_sides("r", before, after, now, MAPS) == sides


def test_what_cannot_be_told_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match="node r: Reshape"):
        new_sides("r", [1, 6, 169], [1, 6, 13, 13, 1], [1, 6, 100], MAPS)
    with pytest.raises(ModelError, match="node r: Reshape"):
        new_sides("r", [48, 12], [1, 6, 96], [96, 20], MAPS)
