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


def read_reference_set(bits: Bits, index: int, count: int, known: Sequence[ReferenceSet]) -> ReferenceSet:
    """st_ref_pic_set(index). `count`: how many the sequence has; index == count: in a slice. Raises Unreadable."""
    if index and bits.u(1):
        back = bits.limited(index - 1) + 1 if index == count else 1
        return _predicted(bits, known[index - back])
    n_before, n_after = bits.limited(_MOST_PICTURES), bits.limited(_MOST_PICTURES)
    return ReferenceSet(_listed(bits, n_before, -1), _listed(bits, n_after, 1))


def _listed(bits: Bits, n: int, sign: int) -> tuple[tuple[int, bool], ...]:
    delta = 0
    out = []
    for _ in range(n):
        delta += sign * (bits.limited(0x7FFF) + 1)
        out.append((delta, bits.u(1) == 1))
    return tuple(out)


def _predicted(bits: Bits, base: ReferenceSet) -> ReferenceSet:
    """A set that is another one moved by a distance, with the other's own picture as a further member."""
    negative = bits.u(1)
    shift = bits.limited(0x7FFF) + 1
    shift = -shift if negative else shift
    members = []
    for delta in (*(delta for delta, _ in base.before), *(delta for delta, _ in base.after), 0):
        used = bits.u(1) == 1
        if used or bits.u(1):
            members.append((delta + shift, used))
    if len(members) > _MOST_PICTURES:
        raise Unreadable("too many reference pictures")
    before = sorted((m for m in members if m[0] < 0), reverse=True)
    after = sorted(m for m in members if m[0] > 0)
    return ReferenceSet(tuple(before), tuple(after))
