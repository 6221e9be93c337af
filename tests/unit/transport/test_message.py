"""Words come back as they were said; other words, and other versions, are refused with a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import LaneError
from pipelines.transport.message import (
    MAX_MESSAGE_BYTES,
    VERSION,
    Attach,
    Kind,
    Refused,
    Welcome,
    decode_attach,
    decode_card,
    decode_refused,
    decode_welcome,
    encode,
    parse_signal,
    parse_signals,
    signal,
    signals,
)
from pipelines.values import ModelCard

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
floats = st.floats(allow_nan=False, allow_infinity=False)
cards = st.builds(
    ModelCard,
    name=names,
    family=names,
    input_w=st.integers(1, 4096),
    input_h=st.integers(1, 4096),
    classes=st.lists(names, max_size=9).map(tuple),
    scale=floats,
    offset=st.tuples(floats, floats, floats),
    nms_free=st.booleans(),
)


@settings(deadline=None)
@given(cards)
def test_a_card_comes_back_with_its_types(card: ModelCard) -> None:
    assert decode_card(encode(card)) == card
    welcome = Welcome(VERSION, card, 9)
    assert decode_welcome(encode(welcome)) == welcome


def test_the_other_words() -> None:
    assert decode_attach(encode(Attach(VERSION, 2**63, 3, 4, 5))) == Attach(VERSION, 2**63, 3, 4, 5)
    assert decode_refused(encode(Refused("grün"))) == Refused("grün")
    assert parse_signal(signal(Kind.ANSWERED, 7, 2**32 - 1)) == (Kind.ANSWERED, 7, 2**32 - 1)


def test_another_version_is_refused_in_a_sentence() -> None:
    sentence = "worker speaks version 3 of the lane protocol, this side version 2: install the same framegate version"
    with pytest.raises(LaneError, match=sentence):
        decode_welcome(b'\x01{"version": 3, "something": "new"}')
    with pytest.raises(LaneError, match="DPU process speaks version 0"):
        decode_attach(b'\x02{"version": 0}')


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "does not speak this protocol"),
        (b"GET / HTTP/1.1", "does not speak this protocol"),
        (b'\x01{"version": 2}', "WELCOME cannot be read"),
        (b'\x02{"version": 2}', "kind 02 where WELCOME belongs"),
    ],
)
def test_nonsense_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(LaneError, match=says):
        decode_welcome(data)


@pytest.mark.parametrize("pairs", [[(3, 7)], [(0, 1), (2**32 - 1, 5), (4, 2**32 - 1)], [(n, n) for n in range(4096)]])
def test_notices_travel_together(pairs: list[tuple[int, int]]) -> None:
    message = signals(Kind.ANSWERED, pairs)
    assert len(message) == 4 + 8 * len(pairs) <= MAX_MESSAGE_BYTES
    kind, parsed = parse_signals(memoryview(message))
    assert (kind, list(parsed)) == (Kind.ANSWERED, pairs)
    assert signals(Kind.ANSWERED, pairs[:1]) == signal(Kind.ANSWERED, *pairs[0]), "one is the case of several"


@pytest.mark.parametrize("data", [b"", b"\x10", signal(Kind.PING)[:4], signal(Kind.PING) + b"x"])
def test_notices_are_whole_pairs(data: bytes) -> None:
    with pytest.raises(LaneError, match="4 \\+ n \\* 8 bytes"):
        parse_signals(data)


@pytest.mark.parametrize("data", [b"", b"\x10", signal(Kind.PING) + b"x"])
def test_a_signal_has_one_length(data: bytes) -> None:
    with pytest.raises(LaneError, match="12-byte"):
        parse_signal(data)


def test_a_card_that_cannot_travel_is_refused() -> None:
    with pytest.raises(LaneError, match="too many class names"):
        encode(ModelCard("m", "yolox", 16, 8, tuple(f"a rather long class name {n}" for n in range(3000))))
