"""The card as text."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.card import from_json, interchangeable, to_json
from pipelines.errors import ModelError
from pipelines.values import ModelCard

FLOATS = st.floats(-10, 10)
TRIPLES = st.tuples(FLOATS, FLOATS, FLOATS)
CARDS = st.builds(
    ModelCard,
    name=st.text(),
    family=st.text(),
    input_w=st.integers(4, 4096),
    input_h=st.integers(4, 4096),
    classes=st.lists(st.text()).map(tuple),
    pad_rgb=st.tuples(*[st.integers(0, 255)] * 3),
    offset=TRIPLES,
    std=TRIPLES,
    scale=FLOATS,
    nms_free=st.booleans(),
)


@settings(max_examples=30)
@given(CARDS)
def test_a_card_comes_back_as_it_was(card: ModelCard) -> None:
    assert from_json(to_json(card)) == card


def test_older_and_newer_cards_are_read() -> None:
    text = json.dumps({"name": "n", "family": "yolox", "input_w": 8, "input_h": 4, "classes": ["a"], "new_key": 1})

    assert from_json(text) == ModelCard("n", "yolox", 8, 4, ("a",))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": 1}', '{"name": "n", "classes": 5}', '{"input_w": "wide"}'])
def test_what_is_no_card_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="model card"):
        from_json(text)


def test_interchangeable_is_what_no_pixel_and_no_row_depends_on() -> None:
    card = ModelCard("door", "yolov8", 416, 256, ("person", "vehicle"))
    assert interchangeable(card, replace(card, sha256="another", licence="another"))
    for other in (
        replace(card, name="other"),
        replace(card, classes=(*card.classes, "more")),
        replace(card, input_w=card.input_w + 32),
        replace(card, score_threshold=0.9),
        replace(card, anchor="top_left"),
    ):
        assert not interchangeable(card, other)
