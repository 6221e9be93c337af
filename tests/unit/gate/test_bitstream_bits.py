"""Bits are read as the standards write them, and never past their end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.gate.bitstream_bits import Bits, Unreadable, unescape


def coded(numbers: list[int]) -> bytes:
    """Exp-Golomb codes of numbers, and a stop bit."""
    text = "".join("0" * ((n + 1).bit_length() - 1) + f"{n + 1:b}" for n in numbers) + "1"
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


@given(st.lists(st.integers(0, 2**32 - 2)))
def test_ue_reads_what_was_coded(numbers: list[int]) -> None:
    bits = Bits(coded(numbers))

    assert [bits.ue() for _ in numbers] == numbers
    assert bits.u(1) == 1


def test_se_alternates_the_sign() -> None:
    bits = Bits(coded([0, 1, 2, 3, 4]))

    assert [bits.se() for _ in range(5)] == [0, 1, -1, 2, -2]


@given(st.binary(max_size=12), st.lists(st.integers(0, 40), max_size=6))
def test_u_cuts_the_bits_in_order(data: bytes, widths: list[int]) -> None:
    text = "".join(f"{byte:08b}" for byte in data)
    bits, at = Bits(data), 0
    for width in widths:
        if at + width > len(text):
            with pytest.raises(Unreadable):
                bits.u(width)
            return
        assert bits.u(width) == int(text[at : at + width] or "0", 2)
        at += width


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x00\x00\x00", b"\x01"])
def test_a_code_without_an_end_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        Bits(data).ue()


def test_more_than_allowed_is_unreadable() -> None:
    assert Bits(coded([7])).limited(7) == 7
    with pytest.raises(Unreadable):
        Bits(coded([8])).limited(7)


def test_emulation_prevention_bytes_are_taken_out() -> None:
    assert unescape(b"\x01\x00\x00\x03\x00\x00\x03\x03\x00\x00\x03") == b"\x01\x00\x00\x00\x00\x03\x00\x00"
