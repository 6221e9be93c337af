"""The product's pump over a tape: what it costs and finds is what can be counted by hand."""

from __future__ import annotations

import pytest

from pipelines.gate.packet import PacketGateOptions
from pipelines.model.catalog import resolve_presence
from pipelines.prefilter.presence import PresenceModel
from scripts.bench.recall.baseline import FixedSize
from scripts.bench.recall.replay import Gated, gate_us_per_packet, replay
from tests.fakes.tape import COST_NS, FPS, KEY_NS, OPEN_NS, tape

SINCE_S = 20.0
THRESHOLD = 0.6


@pytest.fixture(scope="module")
def presence() -> PresenceModel:
    return PresenceModel(resolve_presence("presence"))


def sized(threshold: float = 1000, **options: object) -> Gated:
    return Gated(PacketGateOptions.model_validate({"threshold": threshold, **options}), FixedSize)


def test_a_quiet_camera_costs_its_heartbeat(presence: PresenceModel) -> None:
    """Awake from the start for the 3 s of motion's warm-up and the hold; glances after 15 s, each at a key frame."""
    done = replay(tape(60), sized(), presence, THRESHOLD, SINCE_S)

    assert done.glances == 3
    assert done.decode_ns == 3 * (KEY_NS + OPEN_NS)
    assert done.wakes == 0
    assert not done.detections
    assert done.imbalance == 0


@pytest.mark.parametrize("delay", [0, 2])
def test_an_event_wakes_is_caught_up_with_and_found(presence: PresenceModel, delay: int) -> None:
    """Large packets from 41 s on, in the middle of a group that began at 40 s."""
    done = replay(tape(60, (41, 45), delay), sized(), presence, THRESHOLD, SINCE_S)

    first = done.detections[0]
    assert 41 <= first.time_s <= 41.5
    assert not first.heartbeat
    assert done.wakes == 1
    assert done.catch_up_ns == ((41.0, KEY_NS + 24 * COST_NS),)
    assert done.catch_up_before(first.time_s) == KEY_NS + 24 * COST_NS
    assert 4 * FPS * COST_NS < done.decode_ns < 16 * FPS * COST_NS
    assert done.imbalance == 0


def test_what_only_the_heartbeat_found_is_marked(presence: PresenceModel) -> None:
    """The threshold is out of reach, and something stands in the picture when the glance comes."""
    done = replay(tape(60, (34, 60)), sized(1e9), presence, THRESHOLD, SINCE_S)

    assert done.detections
    assert all(found.heartbeat for found in done.detections)


def test_without_a_gate_everything_is_decoded(presence: PresenceModel) -> None:
    one = tape(40, (30, 33))

    done = replay(one, Gated(open=True), presence, THRESHOLD, SINCE_S)

    assert done.decode_ns == done.full_ns == one.full_ns(SINCE_S)
    assert 30 <= done.detections[0].time_s <= 30.2


def test_the_gates_own_cost_is_measured_on_the_tape() -> None:
    assert 0 < gate_us_per_packet(tape(20), PacketGateOptions(), 600) < 1000
