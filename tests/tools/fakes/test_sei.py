"""Stamps survive any framing, any number and emulation prevention."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import sei

SLICE = {"h264": b"\x65\x88\x84\x12", "hevc": b"\x26\x01\xaf\x12"}
PARAMETERS = {"h264": b"\x67\x42\x11", "hevc": b"\x42\x01\x11"}
Framing = Callable[..., bytes]
U64 = st.integers(0, 2**64 - 1)


def annex_b(*units: bytes) -> bytes:
    return b"".join(b"\x00\x00\x00\x01" + unit for unit in units)


def lengths(*units: bytes) -> bytes:
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


FRAMINGS = st.sampled_from([annex_b, lengths])
CODECS = st.sampled_from(["h264", "hevc"])


@given(codec=CODECS, framing=FRAMINGS, number=U64, time_ns=U64)
def test_what_was_inserted_is_read(codec: str, framing: Framing, number: int, time_ns: int) -> None:
    stamped = sei.insert(framing(PARAMETERS[codec], SLICE[codec]), codec, number, time_ns)

    assert sei.read(stamped) == (number, time_ns)


@given(codec=CODECS, number=U64, time_ns=U64)
def test_no_start_code_can_appear_inside(codec: str, number: int, time_ns: int) -> None:
    unit = sei.nal(codec, number, time_ns)

    assert not any(unit[i : i + 2] == b"\0\0" and unit[i + 2] < 3 for i in range(len(unit) - 2))


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("framing", [annex_b, lengths])
def test_stands_after_the_parameter_sets_and_before_the_first_slice(codec: str, framing: Framing) -> None:
    stamped = sei.insert(framing(PARAMETERS[codec], SLICE[codec], SLICE[codec]), codec, 7, 0)

    assert stamped == framing(PARAMETERS[codec], sei.nal(codec, 7, 0), SLICE[codec], SLICE[codec])


@pytest.mark.parametrize("framing", [annex_b, lengths])
def test_a_new_stamp_replaces_the_old(framing: Framing) -> None:
    once = sei.insert(framing(SLICE["h264"]), "h264", 1, 2)

    twice = sei.insert(once, "h264", 1, 99)

    assert sei.read(twice) == (1, 99)
    assert len(twice) == len(once)


def test_lengths_that_look_like_start_codes_are_lengths() -> None:
    """A slice of 256..511 bytes has the length 00 00 01 xx."""
    unit = b"\x41" + b"\x55" * 299

    stamped = sei.insert(lengths(unit), "h264", 3, 4)

    assert stamped == lengths(sei.nal("h264", 3, 4), unit)


@pytest.mark.parametrize("data", [b"", annex_b(SLICE["h264"]), sei.UUID, sei.UUID + b"\x00" * 5])
def test_nothing_is_read_where_there_is_no_whole_stamp(data: bytes) -> None:
    assert sei.read(data) is None
