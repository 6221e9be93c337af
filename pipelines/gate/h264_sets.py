"""H.264 parameter sets: the fields that stand between a slice's start and its QP. Pure.

Source: ITU-T H.264 7.3.2.1.1 and 7.3.2.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.gate.bitstream_bits import Bits, Unreadable

_WITH_CHROMA_FORMAT = {44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244}
_MOST_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Sps:
    """Of a sequence parameter set."""

    separate_planes: bool
    has_chroma: bool
    """ChromaArrayType is not 0: weight tables carry chroma."""
    frame_num_bits: int
    poc_type: int
    poc_lsb_bits: int
    delta_pic_order_always_zero: bool
    frames_only: bool


@dataclass(frozen=True, slots=True)
class Pps:
    """Of a picture parameter set."""

    sps_id: int
    cabac: bool
    bottom_field_order: bool
    refs_l0: int
    """Default number of reference pictures of list 0."""
    refs_l1: int
    weighted_pred: bool
    weighted_bipred: int
    init_qp: int
    redundant_pictures: bool


def read_sps(rbsp: bytes) -> tuple[int, Sps]:
    """(id, set). rbsp: after the NAL header, unescaped. Raises Unreadable."""
    bits = Bits(rbsp[:_MOST_BYTES])
    profile = bits.u(8)
    bits.u(16)
    sps_id = bits.limited(31)
    chroma_format, separate_planes = 1, False
    if profile in _WITH_CHROMA_FORMAT:
        chroma_format = bits.limited(3)
        separate_planes = chroma_format == 3 and bits.u(1) == 1
        bits.limited(6)
        bits.limited(6)
        bits.u(1)
        if bits.u(1):
            _skip_scaling(bits, 12 if chroma_format == 3 else 8)
    frame_num_bits = bits.limited(12) + 4
    poc_type = bits.limited(2)
    poc_lsb_bits, always_zero = 0, False
    if poc_type == 0:
        poc_lsb_bits = bits.limited(12) + 4
    elif poc_type == 1:
        always_zero = bits.u(1) == 1
        for _ in range(2):
            bits.se()
        for _ in range(bits.limited(255)):
            bits.se()
    bits.limited(16)
    bits.u(1)
    for _ in range(2):
        bits.ue()
    frames_only = bits.u(1) == 1
    has_chroma = chroma_format != 0 and not separate_planes
    return sps_id, Sps(separate_planes, has_chroma, frame_num_bits, poc_type, poc_lsb_bits, always_zero, frames_only)


def _skip_scaling(bits: Bits, lists: int) -> None:
    for number in range(lists):
        if not bits.u(1):
            continue
        last = next_scale = 8
        for _ in range(16 if number < 6 else 64):
            if next_scale:
                next_scale = (last + bits.se()) % 256
            last = next_scale or last


def read_pps(rbsp: bytes) -> tuple[int, Pps]:
    """(id, set). rbsp: after the NAL header, unescaped. Raises Unreadable, also for several slice groups."""
    bits = Bits(rbsp[:_MOST_BYTES])
    pps_id = bits.limited(255)
    sps_id = bits.limited(31)
    cabac, bottom_field_order = bits.u(1) == 1, bits.u(1) == 1
    if bits.ue():
        raise Unreadable("slice groups")
    refs_l0, refs_l1 = bits.limited(31) + 1, bits.limited(31) + 1
    weighted_pred, weighted_bipred = bits.u(1) == 1, bits.u(2)
    init_qp = 26 + bits.se()
    for _ in range(2):
        bits.se()
    bits.u(2)
    redundant_pictures = bits.u(1) == 1
    return pps_id, Pps(
        sps_id, cabac, bottom_field_order, refs_l0, refs_l1, weighted_pred, weighted_bipred, init_qp, redundant_pictures
    )
