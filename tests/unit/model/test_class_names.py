"""Where class names come from."""

from __future__ import annotations

import pytest

from pipelines.errors import ModelError
from pipelines.model.class_names import COCO, class_names


def test_coco() -> None:
    assert len(COCO) == 80
    assert class_names((), {}, 80) == COCO
    by_category = class_names((), {}, 91)
    assert (by_category[1], by_category[44], by_category[90]) == ("person", "bottle", "toothbrush")
    assert len(by_category) == 91


def test_order_of_belief() -> None:
    metadata = {"names": "{0: 'a', 1: 'b'}"}
    assert class_names(("x", "y"), metadata, 2) == ("x", "y")
    assert class_names((), metadata, 2) == ("a", "b")
    assert class_names((), metadata, 0) == ("a", "b")
    assert class_names((), metadata, 3) == ("class_0", "class_1", "class_2")


@pytest.mark.parametrize("text", ["__import__('os').getcwd()", "{1: 'a'}", "5", "{", "(" * 10_000])
def test_metadata_is_data(text: str) -> None:
    assert class_names((), {"names": text}, 1) == ("class_0",)


def test_names_told_must_fit() -> None:
    with pytest.raises(ModelError, match="1 class names were given, but the head has 2"):
        class_names(("a",), {}, 2)
