"""H.265 slice headers up to the QP: known without entropy decoding, so without a decoder. Pure.

Source: ITU-T H.265 7.3.6 (slice segment header), table 7-1 (NAL unit types), table 7-7 (slice types).
"""

from __future__ import annotations

from pipelines.gate.bitstream_bits import Bits, SliceType, Unreadable, unescape
from pipelines.gate.bitstream_units import FILLER, OTHER, SEI, SET, SLICE, SliceHead
from pipelines.gate.h265_references import used_by_slice
from pipelines.gate.h265_sets import Pps, Sps, read_pps, read_sps

_IRAP = range(16, 24)
"""IDR, CRA, BLA: decoding may start here."""
_IDR = (19, 20)
_VPS, _SPS, _PPS = 32, 33, 34
_KIND_OF_TYPE = {
    **dict.fromkeys(range(10), SLICE),
    **dict.fromkeys(range(16, 22), SLICE),
    **dict.fromkeys((_VPS, _SPS, _PPS), SET),
    **dict.fromkeys((39, 40), SEI),
    38: FILLER,
}
_TYPES = (SliceType.B, SliceType.P, SliceType.I)
_B, _P, _I = range(3)
_QP_LIMITS = (-48, 51)
"""-QpBdOffset of 16-bit video, and the highest of any."""


class H265:
    """What one stream's parameter sets say, and its slice headers read with them. Bound: 16 + 64 sets."""

    kinds = bytes(_KIND_OF_TYPE.get(header >> 1 & 63, OTHER) for header in range(256))
    header_bytes = 2
    signed_recovery = True
    filler = 38 << 1

    def __init__(self) -> None:
        self._sps: dict[int, Sps] = {}
        self._pps: dict[int, Pps] = {}

    def learn(self, unit: bytes) -> None:
        """Take a parameter set. Raises Unreadable; what was known of that id then stays."""
        unit_type = unit[0] >> 1 & 63
        rbsp = unescape(unit[2:])
        if unit_type == _SPS:
            sps_id, sps = read_sps(rbsp)
            self._sps[sps_id] = sps
        elif unit_type == _PPS:
            pps_id, pps = read_pps(rbsp)
            self._pps[pps_id] = pps

    def slice_head(self, head: bytes) -> SliceHead:
        """Read the first bytes of a slice's NAL unit.

        Raises Unreadable if not even the slice type can be read: unlike H.264 it stands behind fields of the PPS, and
        is known only of a picture's first segment.
        """
        unit_type = head[0] >> 1 & 63
        bits = Bits(unescape(head[2:]))
        if not bits.flag():
            raise Unreadable("not the first segment")
        if unit_type in _IRAP:
            bits.flag()
        pps = self._pps.get(bits.ue())
        sps = self._sps.get(pps.sps_id) if pps else None
        if pps is None or sps is None:
            raise Unreadable("parameter set unknown")
        bits.u(pps.extra_bits)
        code = bits.limited(2)
        try:
            qp = _qp(bits, sps, pps, code, idr=unit_type in _IDR)
        except Unreadable:
            qp = None
        return SliceHead(_TYPES[code], qp, unit_type in _IRAP, unit_type >= 16 or unit_type & 1 == 1)


def _qp(bits: Bits, sps: Sps, pps: Pps, code: int, *, idr: bool) -> int | None:
    """bits: after slice_type."""
    if pps.output_flag:
        bits.flag()
    if sps.separate_planes:
        bits.u(2)
    references, temporal_mvp = (0, False) if idr else _references(bits, sps)
    if sps.adaptive_offset:
        bits.u(2 if sps.has_chroma else 1)
    if code != _I:
        _skip_prediction(bits, sps, pps, code, references, temporal_mvp)
    qp = pps.init_qp + bits.se()
    return qp if _QP_LIMITS[0] <= qp <= _QP_LIMITS[1] else None


def _references(bits: Bits, sps: Sps) -> tuple[int, bool]:
    """(NumPicTotalCurr, slice_temporal_mvp_enabled_flag)."""
    bits.u(sps.poc_lsb_bits)
    sets = sps.reference_sets
    if not bits.flag():
        used = used_by_slice(bits, sets)
    elif not sets:
        raise Unreadable("no reference set")
    else:
        index = bits.u((len(sets) - 1).bit_length())
        if index >= len(sets):
            raise Unreadable("no such reference set")
        used = sets[index].used
    if sps.long_term:
        used += _long_term(bits, sps)
    return used, sps.temporal_mvp and bits.flag() == 1


def _long_term(bits: Bits, sps: Sps) -> int:
    """Long-term pictures that this one uses."""
    of_sps = sps.long_term_used
    n_sps = bits.limited(32) if of_sps else 0
    used = 0
    for number in range(n_sps + bits.limited(32)):
        if number < n_sps:
            index = bits.u((len(of_sps) - 1).bit_length())
            used += index < len(of_sps) and of_sps[index]
        else:
            used += bits.u(sps.poc_lsb_bits + 1) & 1
        if bits.flag():
            bits.ue()
    return used


def _skip_prediction(bits: Bits, sps: Sps, pps: Pps, code: int, references: int, temporal_mvp: bool) -> None:
    """P and B: from num_ref_idx_active_override_flag to five_minus_max_num_merge_cand."""
    refs_l0, refs_l1 = pps.refs_l0, pps.refs_l1 if code == _B else 0
    if bits.flag():
        refs_l0 = bits.limited(14) + 1
        if code == _B:
            refs_l1 = bits.limited(14) + 1
    if pps.lists_modification and references > 1:
        entry_bits = (references - 1).bit_length()
        for refs in (refs_l0, refs_l1):
            if refs and bits.flag():
                bits.u(refs * entry_bits)
    if code == _B:
        bits.flag()
    if pps.cabac_init:
        bits.flag()
    if temporal_mvp:
        from_l0 = code != _B or bits.flag() == 1
        if (refs_l0 if from_l0 else refs_l1) > 1:
            bits.ue()
    if pps.weighted_pred if code == _P else pps.weighted_bipred:
        bits.ue()
        if sps.has_chroma:
            bits.ue()
        for refs in (refs_l0, refs_l1):
            _skip_weights(bits, refs, sps.has_chroma)
    bits.limited(4)


def _skip_weights(bits: Bits, references: int, chroma: bool) -> None:
    """One list's: all flags first, then the values."""
    luma_flags = [bits.flag() for _ in range(references)]
    chroma_flags = [bits.flag() for _ in range(references)] if chroma else [0] * references
    for luma, both_chroma in zip(luma_flags, chroma_flags, strict=True):
        for _ in range(2 * luma + 4 * both_chroma):
            bits.ue()
