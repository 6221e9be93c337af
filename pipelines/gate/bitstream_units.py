"""What the readers of both codecs share: kinds of NAL units, and what a slice's head says. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pipelines.gate.bitstream_bits import Bits, SliceType, Unreadable, unescape

OTHER, SLICE, SET, SEI, FILLER = range(5)
"""Kinds of NAL units, as far as the packet gate cares."""

_RECOVERY_POINT = 6
_SEI_BYTES = 128
"""A recovery point stands before long user data, if at all."""


@dataclass(slots=True)
class SliceHead:
    """The head of a picture's first slice."""

    slice_type: SliceType
    qp: int | None
    """SliceQpY; None where the header needs what is not known."""
    is_random_access: bool
    """IDR; in H.265 also CRA and BLA."""
    is_reference: bool


class Syntax(Protocol):
    """One codec: the kinds of its NAL units by first byte, and a stream's parameter sets."""

    kinds: bytes
    """Kind by the first byte of a NAL unit's header."""
    header_bytes: int
    signed_recovery: bool
    filler: int
    """First byte of a filler unit. Its body is 0xFF, so a search from the end finds it."""

    def __init__(self) -> None: ...

    def learn(self, unit: bytes) -> None: ...

    def slice_head(self, head: bytes) -> SliceHead: ...


def recovery_frames(sei: bytes, *, signed: bool) -> int | None:
    """recovery_frame_cnt (H.265: recovery_poc_cnt, signed) of an SEI unit without its NAL header, or None.

    Raises Unreadable.
    Source: ITU-T H.264 7.3.2.3.1, D.1.8; ITU-T H.265 7.3.5, D.2.8.
    """
    rbsp = unescape(sei[:_SEI_BYTES])
    at = 0
    while at + 2 <= len(rbsp) and rbsp[at] != 0x80:
        kind, at = _sum_of_bytes(rbsp, at)
        size, at = _sum_of_bytes(rbsp, at)
        if kind == _RECOVERY_POINT:
            bits = Bits(rbsp[at : at + 8])
            return bits.se() if signed else bits.ue()
        at += size
    return None


def _sum_of_bytes(rbsp: bytes, at: int) -> tuple[int, int]:
    """A number coded as 255s and a last byte, and where it ends."""
    value = 0
    while at < len(rbsp) and rbsp[at] == 0xFF:
        value += 255
        at += 1
    if at >= len(rbsp):
        raise Unreadable("SEI ends early")
    return value + rbsp[at], at + 1
