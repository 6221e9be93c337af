"""Parameter sets that the encoders of these tests never write."""

from __future__ import annotations

import pytest

from pipelines.gate.bitstream_bits import Unreadable
from pipelines.gate.h264_sets import Sps, read_pps, read_sps


def ue(value: int) -> str:
    return "0" * ((value + 1).bit_length() - 1) + f"{value + 1:b}"


def se(value: int) -> str:
    return ue(2 * value - 1 if value > 0 else -2 * value)


def rbsp(text: str) -> bytes:
    text += "1" + "0" * (-(len(text) + 1) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def sps(profile: int, chroma: str, order: str, frames_only: str = "1") -> bytes:
    """chroma: from chroma_format_idc; order: from pic_order_cnt_type to before max_num_ref_frames."""
    start = f"{profile:08b}" + "0" * 8 + f"{40:08b}" + ue(2)
    return rbsp(start + chroma + ue(3) + order + ue(4) + "0" + ue(119) + ue(67) + frames_only + "1")


ORDER_0 = ue(0) + ue(2)


def test_scaling_lists_of_a_sequence_are_skipped() -> None:
    """A list ends early where its next value is 0: 8 + (-8)."""
    lists = "0" + "1" + se(1) * 16 + "1" + se(-8) + "0" * 3 + "1" + se(2) * 64 + "1" + se(-8)

    number, got = read_sps(sps(100, ue(1) + ue(0) * 2 + "0" + "1" + lists, ORDER_0))

    assert number == 2
    assert got == Sps(False, True, 7, 0, 6, False, True)


def test_444_has_twelve_lists_and_may_have_separate_planes() -> None:
    _, got = read_sps(sps(244, ue(3) + "1" + ue(2) * 2 + "0" + "1" + "0" * 12, ORDER_0, frames_only="0"))

    assert got == Sps(True, False, 7, 0, 6, False, False)


@pytest.mark.parametrize("always_zero", [False, True])
def test_order_type_1_is_skipped(always_zero: bool) -> None:
    order = ue(1) + str(int(always_zero)) + se(-3) + se(5) + ue(2) + se(7) + se(-9)

    _, got = read_sps(sps(66, "", order))

    assert got == Sps(False, True, 7, 1, 0, always_zero, True)


def test_slice_groups_are_not_read() -> None:
    with pytest.raises(Unreadable, match="slice groups"):
        read_pps(rbsp(ue(0) + ue(0) + "00" + ue(1) + "0" * 40))
