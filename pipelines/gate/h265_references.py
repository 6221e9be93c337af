"""H.265 short-term reference picture sets: how many pictures a slice may refer to. Pure.

Source: ITU-T H.265 7.3.7 and 7.4.8 (equations 7-61 to 7-64).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.gate.bitstream_bits import Bits, Unreadable

_MOST_PICTURES = 16


@dataclass(frozen=True, slots=True)
class ReferenceSet:
    """Distances in picture order count, nearest first on either side, and whether this picture uses each."""

    before: tuple[tuple[int, bool], ...]
    """(delta, used); delta < 0."""
    after: tuple[tuple[int, bool], ...]
    """(delta, used); delta > 0."""

    @property
    def used(self) -> int:
        return sum(used for _, used in self.before) + sum(used for _, used in self.after)


def read_reference_set(bits: Bits, known: Sequence[ReferenceSet]) -> ReferenceSet:
    """The next st_ref_pic_set of a sequence parameter set, after those known. Raises Unreadable."""
    if known and bits.flag():
        return _predicted(bits, known[-1])
    n_before, n_after = bits.limited(_MOST_PICTURES), bits.limited(_MOST_PICTURES)
    return ReferenceSet(_listed(bits, n_before, -1), _listed(bits, n_after, 1))


def used_by_slice(bits: Bits, known: Sequence[ReferenceSet]) -> int:
    """Pictures used, of the st_ref_pic_set that stands in a slice. Builds none if it is a plain list. Unreadable."""
    if known and bits.flag():
        back = bits.limited(len(known) - 1) + 1
        return _predicted(bits, known[-back]).used
    used = 0
    for _ in range(bits.limited(_MOST_PICTURES) + bits.limited(_MOST_PICTURES)):
        bits.ue()
        used += bits.flag()
    return used


def _listed(bits: Bits, n: int, sign: int) -> tuple[tuple[int, bool], ...]:
    delta = 0
    out = []
    for _ in range(n):
        delta += sign * (bits.limited(0x7FFF) + 1)
        out.append((delta, bits.flag() == 1))
    return tuple(out)


def _predicted(bits: Bits, base: ReferenceSet) -> ReferenceSet:
    """A set that is another one moved by a distance, with the other's own picture as a further member."""
    negative = bits.flag()
    shift = bits.limited(0x7FFF) + 1
    shift = -shift if negative else shift
    members = []
    for delta in (*(delta for delta, _ in base.before), *(delta for delta, _ in base.after), 0):
        used = bits.flag() == 1
        if used or bits.flag():
            members.append((delta + shift, used))
    if len(members) > _MOST_PICTURES:
        raise Unreadable("too many reference pictures")
    before = sorted((m for m in members if m[0] < 0), reverse=True)
    after = sorted(m for m in members if m[0] > 0)
    return ReferenceSet(tuple(before), tuple(after))
