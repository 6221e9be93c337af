"""H.265 parameter sets: the fields that stand between a slice's start and its QP. Pure.

Source: ITU-T H.265 7.3.2.2, 7.3.2.3, 7.3.3, 7.3.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.gate.bitstream_bits import Bits, Unreadable
from pipelines.gate.h265_references import ReferenceSet, read_reference_set

_MOST_BYTES = 2048
_SCREEN_CONTENT = {9, 11}
"""Profiles whose slice headers have more fields."""


@dataclass(frozen=True, slots=True)
class Sps:
    """Of a sequence parameter set."""

    separate_planes: bool
    has_chroma: bool
    """ChromaArrayType is not 0."""
    poc_lsb_bits: int
    reference_sets: tuple[ReferenceSet, ...]
    long_term: bool
    long_term_used: tuple[bool, ...]
    """lt_ref_pics of the sequence: used by the current picture?"""
    temporal_mvp: bool
    adaptive_offset: bool


@dataclass(frozen=True, slots=True)
class Pps:
    """Of a picture parameter set."""

    sps_id: int
    output_flag: bool
    extra_bits: int
    cabac_init: bool
    refs_l0: int
    """Default number of reference pictures of list 0."""
    refs_l1: int
    init_qp: int
    weighted_pred: bool
    weighted_bipred: bool
    lists_modification: bool


def read_sps(rbsp: bytes) -> tuple[int, Sps]:
    """(id, set). rbsp: after the NAL header, unescaped. Raises Unreadable."""
    bits = Bits(rbsp[:_MOST_BYTES])
    bits.u(4)
    sub_layers = bits.u(3)
    bits.u(1)
    _skip_profile(bits, sub_layers)
    sps_id = bits.limited(15)
    chroma_format = bits.limited(3)
    separate_planes = chroma_format == 3 and bits.u(1) == 1
    bits.ue()
    bits.ue()
    if bits.u(1):
        for _ in range(4):
            bits.ue()
    bits.limited(8)
    bits.limited(8)
    poc_lsb_bits = bits.limited(12) + 4
    for _ in range(3 * (sub_layers + 1 if bits.u(1) else 1)):
        bits.ue()
    for _ in range(6):
        bits.ue()
    if bits.u(1) and bits.u(1):
        _skip_scaling(bits)
    bits.u(1)
    adaptive_offset = bits.u(1) == 1
    if bits.u(1):
        bits.u(8)
        bits.ue()
        bits.ue()
        bits.u(1)
    reference_sets: list[ReferenceSet] = []
    for _ in range(bits.limited(64)):
        reference_sets.append(read_reference_set(bits, reference_sets))
    long_term = bits.u(1) == 1
    long_term_used: tuple[bool, ...] = ()
    if long_term:
        long_term_used = tuple(bits.u(poc_lsb_bits + 1) & 1 == 1 for _ in range(bits.limited(32)))
    return sps_id, Sps(
        separate_planes=separate_planes,
        has_chroma=chroma_format != 0 and not separate_planes,
        poc_lsb_bits=poc_lsb_bits,
        reference_sets=tuple(reference_sets),
        long_term=long_term,
        long_term_used=long_term_used,
        temporal_mvp=bits.u(1) == 1,
        adaptive_offset=adaptive_offset,
    )


def _skip_profile(bits: Bits, sub_layers: int) -> None:
    """profile_tier_level."""
    if bits.u(8) & 31 in _SCREEN_CONTENT:
        raise Unreadable("screen content profile")
    bits.u(88)
    present = [(bits.u(1), bits.u(1)) for _ in range(sub_layers)]
    if sub_layers:
        bits.u(2 * (8 - sub_layers))
    for profile, level in present:
        bits.u(88 * profile + 8 * level)


def _skip_scaling(bits: Bits) -> None:
    """scaling_list_data."""
    for size in range(4):
        for _ in range(0, 6, 3 if size == 3 else 1):
            if not bits.u(1):
                bits.ue()
                continue
            for _ in range((1 if size > 1 else 0) + min(64, 16 << 2 * size)):
                bits.ue()


def read_pps(rbsp: bytes) -> tuple[int, Pps]:
    """(id, set). rbsp: after the NAL header, unescaped. Raises Unreadable."""
    bits = Bits(rbsp[:_MOST_BYTES])
    pps_id = bits.limited(63)
    sps_id = bits.limited(15)
    bits.u(1)
    output_flag = bits.u(1) == 1
    extra_bits = bits.u(3)
    bits.u(1)
    cabac_init = bits.u(1) == 1
    refs_l0, refs_l1 = bits.limited(14) + 1, bits.limited(14) + 1
    init_qp = 26 + bits.se()
    bits.u(2)
    if bits.u(1):
        bits.ue()
    bits.ue()
    bits.ue()
    bits.u(1)
    weighted_pred, weighted_bipred = bits.u(1) == 1, bits.u(1) == 1
    bits.u(1)
    tiles = bits.u(1)
    bits.u(1)
    if tiles:
        _skip_tiles(bits)
    bits.u(1)
    if bits.u(1):
        bits.u(1)
        if not bits.u(1):
            bits.ue()
            bits.ue()
    if bits.u(1):
        _skip_scaling(bits)
    return pps_id, Pps(
        sps_id=sps_id,
        output_flag=output_flag,
        extra_bits=extra_bits,
        cabac_init=cabac_init,
        refs_l0=refs_l0,
        refs_l1=refs_l1,
        init_qp=init_qp,
        weighted_pred=weighted_pred,
        weighted_bipred=weighted_bipred,
        lists_modification=bits.u(1) == 1,
    )


def _skip_tiles(bits: Bits) -> None:
    splits = bits.limited(1000) + bits.limited(1000)
    if not bits.u(1):
        for _ in range(splits):
            bits.ue()
    bits.u(1)
