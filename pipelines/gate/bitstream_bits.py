"""Bits of an H.264 or H.265 header, read with whole integers. Pure; knows no syntax.

Source: ITU-T H.264 7.2, 7.4.1 and 9.1; ITU-T H.265 has the same.
"""

from __future__ import annotations

from enum import StrEnum


class Unreadable(Exception):
    """The bits end too early, or say what no valid stream says. Never leaves PacketReader."""


class SliceType(StrEnum):
    """How the first slice of a picture was predicted (SP counts as P, SI as I)."""

    I = "i"  # noqa: E741 (the standards' own name)
    P = "p"
    B = "b"


def unescape(unit: bytes) -> bytes:
    """A NAL unit without its emulation prevention bytes."""
    return unit.replace(b"\x00\x00\x03", b"\x00\x00") if b"\x00\x00\x03" in unit else unit


class Bits:
    """Reads from the front. Every method raises Unreadable when the bits end. A few tenths of a microsecond each.

    Every read makes an integer as long as what is left, so give it tens of bytes, not kilobytes.
    """

    __slots__ = ("_left", "_value")

    def __init__(self, rbsp: bytes) -> None:
        """rbsp: without emulation prevention bytes."""
        self._value = int.from_bytes(rbsp, "big")
        self._left = len(rbsp) * 8

    def u(self, n: int) -> int:
        """n bits as a number, most significant first; n >= 0."""
        self._left = left = self._left - n
        if left < 0:
            raise Unreadable("end of bits")
        return self._value >> left & ((1 << n) - 1)

    def flag(self) -> int:
        """u(1), a little faster."""
        self._left = left = self._left - 1
        if left < 0:
            raise Unreadable("end of bits")
        return self._value >> left & 1

    def ue(self) -> int:
        """Exp-Golomb: n zeros, a one, n bits."""
        left = self._left
        if left and self._value >> (left - 1) & 1:  # a single one is 0: most codes in a header are
            self._left = left - 1
            return 0
        rest = self._value & ((1 << left) - 1)
        ones = rest.bit_length()
        self._left = left = 2 * ones - left - 1
        if left < 0:
            raise Unreadable("end of bits")
        return (rest >> left) - 1

    def se(self) -> int:
        """Exp-Golomb, signed: 0 1 -1 2 -2 ..."""
        code = self.ue()
        return (code + 1) >> 1 if code & 1 else -(code >> 1)

    def limited(self, most: int) -> int:
        """ue() that a valid stream keeps at or below `most`."""
        value = self.ue()
        if value > most:
            raise Unreadable(f"{value} where at most {most} is allowed")
        return value
