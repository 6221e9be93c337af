"""H.264 slice headers up to the QP: known without entropy decoding, so without a decoder. Pure.

Source: ITU-T H.264 7.3.3 (slice header), table 7-1 (NAL unit types), table 7-6 (slice types).
"""

from __future__ import annotations

from pipelines.gate.bitstream_bits import Bits, SliceType, Unreadable, unescape
from pipelines.gate.bitstream_units import FILLER, OTHER, SEI, SET, SLICE, SliceHead
from pipelines.gate.h264_sets import Pps, Sps, read_pps, read_sps

_NON_IDR, _PARTITION_A, _IDR, _SPS, _PPS = 1, 2, 5, 7, 8
_KIND_OF_TYPE = {_NON_IDR: SLICE, _PARTITION_A: SLICE, _IDR: SLICE, 6: SEI, _SPS: SET, _PPS: SET, 12: FILLER}
_TYPES = (SliceType.P, SliceType.B, SliceType.I, SliceType.P, SliceType.I)
_QP_LIMITS = (-36, 51)
"""-QpBdOffset of 14-bit video, and the highest of any."""


class H264:
    """What one stream's parameter sets say, and its slice headers read with them. Bound: 32 + 256 sets."""

    kinds = bytes(_KIND_OF_TYPE.get(header & 31, OTHER) for header in range(256))
    header_bytes = 1
    signed_recovery = False
    filler = 0x0C

    def __init__(self) -> None:
        self._sps: dict[int, Sps] = {}
        self._pps: dict[int, Pps] = {}

    def learn(self, unit: bytes) -> None:
        """Take a parameter set. Raises Unreadable; what was known of that id then stays."""
        rbsp = unescape(unit[1:])
        if unit[0] & 31 == _SPS:
            sps_id, sps = read_sps(rbsp)
            self._sps[sps_id] = sps
        else:
            pps_id, pps = read_pps(rbsp)
            self._pps[pps_id] = pps

    def slice_head(self, head: bytes) -> SliceHead:
        """Read the first bytes of a slice's NAL unit. Raises Unreadable if not even the slice type is there."""
        first = head[0]
        bits = Bits(unescape(head[1:]))
        bits.ue()
        code = bits.ue()
        if code > 9:
            raise Unreadable("no such slice type")
        idr, reference = first & 31 == _IDR, first & 0x60 != 0
        try:
            qp = self._qp(bits, code % 5, idr, reference)
        except Unreadable:
            qp = None
        return SliceHead(_TYPES[code % 5], qp, idr, reference)

    def _qp(self, bits: Bits, code: int, idr: bool, reference: bool) -> int | None:
        """bits: after slice_type. code: 0 P, 1 B, 2 I, 3 SP, 4 SI. None: not with the sets known."""
        pps = self._pps.get(bits.ue())
        sps = self._sps.get(pps.sps_id) if pps else None
        if pps is None or sps is None:
            return None
        _skip_order(bits, sps, pps, idr)
        intra = code == 2 or code == 4
        if not intra:
            _skip_references(bits, sps, pps, code)
        if reference:
            _skip_marking(bits, idr)
        if pps.cabac and not intra:
            bits.limited(2)
        qp = pps.init_qp + bits.se()
        return qp if _QP_LIMITS[0] <= qp <= _QP_LIMITS[1] else None


def _skip_order(bits: Bits, sps: Sps, pps: Pps, idr: bool) -> None:
    """From frame_num to redundant_pic_cnt."""
    if sps.separate_planes:
        bits.u(2)
    bits.u(sps.frame_num_bits)
    field = False
    if not sps.frames_only:
        field = bits.flag() == 1
        if field:
            bits.flag()
    if idr:
        bits.ue()
    both = pps.bottom_field_order and not field
    if sps.poc_type == 0:
        bits.u(sps.poc_lsb_bits)
        if both:
            bits.ue()
    elif sps.poc_type == 1 and not sps.delta_pic_order_always_zero:
        bits.ue()
        if both:
            bits.ue()
    if pps.redundant_pictures:
        bits.ue()


def _skip_references(bits: Bits, sps: Sps, pps: Pps, code: int) -> None:
    """P, SP and B: number, order and weights of reference pictures."""
    bidirectional = code == 1
    if bidirectional:
        bits.flag()
    refs_l0, refs_l1 = pps.refs_l0, pps.refs_l1
    if bits.flag():
        refs_l0 = bits.limited(31) + 1
        if bidirectional:
            refs_l1 = bits.limited(31) + 1
    for _ in range(2 if bidirectional else 1):
        if bits.flag():
            while bits.limited(3) != 3:
                bits.ue()
    if pps.weighted_bipred == 1 if bidirectional else pps.weighted_pred:
        _skip_weights(bits, refs_l0 + (refs_l1 if bidirectional else 0), sps.has_chroma)


def _skip_weights(bits: Bits, references: int, chroma: bool) -> None:
    bits.ue()
    if chroma:
        bits.ue()
    for _ in range(references):
        if bits.flag():
            bits.ue()
            bits.ue()
        if chroma and bits.flag():
            for _ in range(4):
                bits.ue()


def _skip_marking(bits: Bits, idr: bool) -> None:
    if idr:
        bits.u(2)
    elif bits.flag():
        while operation := bits.limited(6):
            for _ in range((0, 1, 1, 2, 1, 0, 1)[operation]):
                bits.ue()
