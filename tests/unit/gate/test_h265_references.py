"""Reference sets predicted from others are those that the standard's own loops give; encoders here write none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.gate.bitstream_bits import Bits
from pipelines.gate.h265_references import ReferenceSet, read_reference_set, used_by_slice

DELTAS = st.lists(st.integers(1, 20), max_size=5, unique=True)
SETS = st.builds(
    lambda before, after: ReferenceSet(
        tuple((-d, d % 3 > 0) for d in sorted(before)), tuple((d, d % 2 > 0) for d in sorted(after))
    ),
    DELTAS,
    DELTAS,
)
FLAGS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=11, max_size=11)


def ue(value: int) -> str:
    return "0" * ((value + 1).bit_length() - 1) + f"{value + 1:b}"


def bits_of(text: str) -> Bits:
    text += "1" + "0" * (-(len(text) + 1) % 8)
    return Bits(int(text, 2).to_bytes(len(text) // 8, "big"))


def coded(base: ReferenceSet, shift: int, flags: list[tuple[bool, bool]]) -> str:
    """From delta_rps_sign on."""
    text = ("1" if shift < 0 else "0") + ue(abs(shift) - 1)
    for used, use_delta in flags[: len(base.before) + len(base.after) + 1]:
        text += "1" if used else "0" + str(int(use_delta))
    return text


def by_the_standard(base: ReferenceSet, shift: int, flags: list[tuple[bool, bool]]) -> ReferenceSet:
    """ITU-T H.265 equations 7-61 and 7-62, as they stand there."""
    s0, s1 = [d for d, _ in base.before], [d for d, _ in base.after]
    used = [u for u, _ in flags]
    use_delta = [u or d for u, d in flags]
    count = len(s0) + len(s1)
    n0 = len(s0)
    before = [
        (s1[i] + shift, used[n0 + i]) for i in reversed(range(len(s1))) if s1[i] + shift < 0 and use_delta[n0 + i]
    ]
    before += [(shift, used[count])] if shift < 0 and use_delta[count] else []
    before += [(s0[i] + shift, used[i]) for i in range(n0) if s0[i] + shift < 0 and use_delta[i]]
    after = [(s0[i] + shift, used[i]) for i in reversed(range(n0)) if s0[i] + shift > 0 and use_delta[i]]
    after += [(shift, used[count])] if shift > 0 and use_delta[count] else []
    after += [(s1[i] + shift, used[n0 + i]) for i in range(len(s1)) if s1[i] + shift > 0 and use_delta[n0 + i]]
    return ReferenceSet(tuple(before), tuple(after))


@given(SETS, st.integers(-25, 25).filter(bool), FLAGS)
def test_a_predicted_set_of_a_sequence(base: ReferenceSet, shift: int, flags: list[tuple[bool, bool]]) -> None:
    bits = bits_of("1" + coded(base, shift, flags))

    assert read_reference_set(bits, [base]) == by_the_standard(base, shift, flags)
    assert bits.u(1) == 1


@given(SETS, SETS, st.integers(0, 1), st.integers(-25, 25).filter(bool), FLAGS)
def test_a_predicted_set_of_a_slice_says_which_it_is_predicted_from(
    first: ReferenceSet, second: ReferenceSet, back: int, shift: int, flags: list[tuple[bool, bool]]
) -> None:
    base = (second, first)[back]
    bits = bits_of("1" + ue(back) + coded(base, shift, flags))

    assert used_by_slice(bits, [first, second]) == by_the_standard(base, shift, flags).used
    assert bits.u(1) == 1


@given(SETS)
def test_a_listed_set(wanted: ReferenceSet) -> None:
    text = ue(len(wanted.before)) + ue(len(wanted.after))
    for members in (wanted.before, wanted.after):
        last = 0
        for delta, used in members:
            text += ue(abs(delta - last) - 1) + str(int(used))
            last = delta

    assert read_reference_set(bits_of(text), []) == wanted
    assert used_by_slice(bits_of(text), []) == wanted.used
    assert used_by_slice(bits_of("0" + text), [wanted]) == wanted.used
