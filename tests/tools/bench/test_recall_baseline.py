"""What the simple ways cost and find, counted by hand."""

from __future__ import annotations

import numpy as np

from scripts.bench.recall.baseline import FixedSize, every_nth, every_nth_key
from tests.fakes.tape import COST_NS, FPS, GOP, KEY_NS, tape


def test_every_picture_costs_a_full_decode() -> None:
    one = tape(20, (10, 12))

    sampled = every_nth(one, 1, 0.5, since_s=0)

    assert sampled.decode_ns == one.full_ns(0)
    assert len(sampled.detections) == 2 * FPS


def test_references_up_to_the_last_wanted_picture_of_a_group_are_decoded() -> None:
    """Each 20th of groups of 50: 0, 20, 40 of the first, 60, 80 of the second; what follows them is not decoded."""
    one = tape(4)

    assert every_nth(one, 20, 0.5, since_s=0).decode_ns == 2 * KEY_NS + 40 * COST_NS + 30 * COST_NS


def test_only_the_scored_part_is_charged() -> None:
    one = tape(20)

    assert every_nth(one, 1, 0.5, since_s=10).decode_ns == one.full_ns(10) < one.full_ns(0)


def test_key_frames_only_cost_key_frames_only() -> None:
    one = tape(20, (9.9, 12.1))

    sampled = every_nth_key(one, 1, 0.5, since_s=0)

    assert sampled.decode_ns == 20 * FPS // GOP * KEY_NS
    assert [d.time_s for d in sampled.detections] == [10.0, 12.0]


def test_the_heartbeat_bounds_how_rare_key_frames_get() -> None:
    """15 s are 7 groups of 2 s."""
    one = tape(60)

    assert every_nth_key(one, 1000, 0.5, since_s=0).decode_ns == np.ceil(30 / 7) * KEY_NS


def test_fixed_size_judges_bytes_and_leaves_key_frames_out() -> None:
    from pipelines.gate.bitstream import PacketFacts
    from pipelines.gate.packet import PacketGateOptions

    judge = FixedSize(PacketGateOptions())

    assert judge.update(PacketFacts(700, False, None, None, None, None, False), 0) == 700
    assert judge.update(PacketFacts(9000, True, None, None, None, None, False), 0) == 0
    assert judge.ready(0)
    assert not judge.ungateable(0)
