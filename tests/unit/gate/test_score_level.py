"""Packets are compared with their like: kind, distance from the key frame, QP."""

from __future__ import annotations

import random
from math import exp

import pytest

from pipelines.gate.bitstream import PacketFacts
from pipelines.gate.bitstream_bits import SliceType
from pipelines.gate.score_level import Levels

SECOND = 1_000_000_000
STEP = SECOND // 25


def packet(size: float, qp: int | None = 26, key: bool = False, reference: bool = True) -> PacketFacts:
    return PacketFacts(round(size), key, reference, SliceType.I if key else SliceType.P, qp, None, False)


def above(packets: list[PacketFacts], ln_per_qp: float = 0.45) -> list[float]:
    levels = Levels(ln_per_qp, 30 * SECOND)
    return [levels.above(one, n * STEP) for n, one in enumerate(packets)]


def test_a_kind_that_is_new_says_nothing() -> None:
    found = above([packet(5000)] * 40 + [packet(50_000, key=True)])

    assert found[-1] == 0.0
    assert set(found) == {0.0}


def test_small_packets_behind_a_key_frame_are_nothing_special() -> None:
    """At constant rate the encoder pays for the key frame with what follows."""
    group = [packet(90_000, key=True), packet(300), packet(900), packet(3000), *[packet(15_000)] * 46]

    found = above(group * 12)

    assert all(abs(value) < 0.02 for value in found[-50:])
    assert above([*group * 12, group[0], packet(900)])[-1] == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("worth", [0.1, 0.45, 1.3])
def test_each_qp_has_its_own_level_whatever_a_step_is_worth(worth: float) -> None:
    rng = random.Random(1)
    quiet = [packet(8000 * exp(-worth * (qp - 26)), qp) for qp in (rng.randrange(25, 28) for _ in range(400))]

    found = above([packet(80_000, key=True), *quiet, packet(1.2 * 8000 * exp(-worth), 27)])

    assert max(abs(value) for value in found[-101:-1]) < 0.02
    assert found[-1] == pytest.approx(0.18, abs=0.03)


def test_a_new_qp_is_compared_by_complexity() -> None:
    """The encoder answers activity with a QP that the quiet never had."""
    quiet = [packet(8000, 26)] * 300

    found = above([packet(80_000, key=True), *quiet, packet(8000, 28)])

    assert found[-1] == pytest.approx(0.9, abs=0.05)
    assert above([packet(80_000, key=True), *quiet, packet(8000, 28)], ln_per_qp=0.0)[-1] == pytest.approx(0, abs=0.01)


def test_one_packet_counts_for_so_much_and_no_more() -> None:
    found = above([packet(80_000, key=True), *[packet(8000)] * 100, packet(8_000_000), packet(1)])

    assert found[-2:] == [3.0, -3.0]


def test_where_a_step_is_worth_nothing_only_sizes_count() -> None:
    group = [packet(90_000, key=True), *[packet(8000, qp=26), packet(16_000, qp=40)] * 24]

    assert above(group * 12, ln_per_qp=0)[-1] == pytest.approx(0.69, abs=0.02)
    assert above(group * 12)[-1] == pytest.approx(0.0, abs=0.02)
