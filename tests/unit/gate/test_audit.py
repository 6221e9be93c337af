"""The audit as a whole, on a made-up fleet: its share, its honesty, and blinded gates brought back."""

from __future__ import annotations

import pytest

from pipelines.gate.audit import Audit
from pipelines.gate.audit_control import ControlOptions
from pipelines.gate.audit_estimate import EstimateOptions
from pipelines.gate.audit_window import AuditOptions
from pipelines.values import Outcome
from tests.fakes.audit_fleet import Fleet

ASLEEP = Outcome.ASLEEP
S = 1_000_000_000


def new_audit() -> Audit:
    return Audit(AuditOptions(), EstimateOptions(), ControlOptions(), cores=2.0)


def test_the_evidence_of_a_step_is_used_up() -> None:
    """Known misses of a camera that found nothing: one step, and then none until there are new ones."""
    audit = new_audit()
    for cell in range(100):
        audit.found("other", cell * 4 * S, cell * 4 * S)
        audit.known_miss("blind", ASLEEP, cell * 4 * S, cell * 4 * S)

    first, second = audit.tick(400 * S), audit.tick(401 * S)

    assert [(step.camera, step.gate) for step in first] == [("blind", ASLEEP)]
    assert second == []


def test_an_audited_miss_makes_the_camera_suspect() -> None:
    audit = new_audit()
    missed = audit.offer("blind", ASLEEP, 0.0, 0, 0.0)
    assert missed is not None
    audit.settle(audit.frame(missed, S), Outcome.INFERRED, positive=True)
    audit.spent(missed, 0.4)
    audit.end(missed, 4 * S)
    audit.tick(10 * S)
    for number in range(400):
        audit.offer(f"cam{number % 100}", ASLEEP, 0.0, 10 * S + number * S // 4, 1.0)

    windows = [audit.offer(camera, ASLEEP, 0.0, 111 * S, 0.0) for camera in ("sound", "blind")]

    sound, blind = (window.probability if window else 0.0 for window in windows)
    assert 0 < 4 * sound < blind


def test_a_sound_fleet_is_left_alone_within_the_share() -> None:
    fleet = Fleet(16)

    fleet.run(1.0)

    snapshot = fleet.audit.snapshot(fleet.now_ns)
    assert fleet.steps == []
    assert fleet.spent_s == pytest.approx(0.02 * 2.0 * 3600, rel=0.1)
    assert snapshot.spent_s == pytest.approx(fleet.spent_s, abs=1.0)
    assert snapshot.estimate.chain.sufficient
    assert snapshot.estimate.chain.value > 0.95
    assert snapshot.windows.imbalance == snapshot.frames.imbalance == 0


def test_the_estimate_tells_the_truth_of_a_fleet_that_misses() -> None:
    """Two thirds of the events are too faint; no heartbeat helps and nothing is steered."""
    fleet = Fleet(16, heartbeat_windows=10**9, control=ControlOptions(target_recall=0.01, margin=0.99))
    fleet.gains = dict.fromkeys(fleet.names, 0.45)

    fleet.run(1.0)

    chain = fleet.audit.snapshot(fleet.now_ns).estimate.chain
    truth = sum(fleet.found.values()) / (sum(fleet.found.values()) + sum(fleet.missed.values()))
    assert fleet.steps == []
    assert chain.interval.low <= truth <= chain.interval.high
    assert chain.interval.half_width <= 0.12
    assert 0.5 < truth < 0.9


def test_a_blinded_fleet_is_noticed_and_brought_back_within_an_hour() -> None:
    """After an hour of sound work, every gate goes blind: scores are a hundredth of what they were."""
    fleet = Fleet(12)
    fleet.run(1.0)
    fleet.gains = dict.fromkeys(fleet.names, 0.01)

    fleet.run(1.0)
    fleet.clear()
    fleet.run(0.3)

    assert min(hours for hours, _ in fleet.steps) < 1.35
    assert sum(fleet.found.values()) >= 0.95 * (sum(fleet.found.values()) + sum(fleet.missed.values()))


def test_one_blinded_camera_is_opened_and_the_others_stay() -> None:
    fleet = Fleet(16)
    fleet.run(0.5)
    fleet.gains["cam03"] = 0.01

    fleet.run(0.75)
    fleet.clear()
    fleet.run(0.25)

    assert {step.camera for _, step in fleet.steps} == {"cam03"}
    assert fleet.audit.settings("cam03")[ASLEEP].open_since_ns is not None
    assert fleet.recall("cam03") == 1.0


def test_a_fleet_gone_dim_is_steered_to_the_target() -> None:
    """Scores are a third of what they were: no gate has to be opened for that."""
    fleet = Fleet(12)
    fleet.run(0.5)
    fleet.gains = dict.fromkeys(fleet.names, 0.35)

    fleet.run(2.0)
    fleet.clear()
    fleet.run(0.5)

    truth = sum(fleet.found.values()) / (sum(fleet.found.values()) + sum(fleet.missed.values()))
    assert truth > 0.9
    assert max(fleet.audit.settings(name)[ASLEEP].factor for name in fleet.names) < 1.0


def test_a_camera_that_is_gone_leaves_nothing_behind() -> None:
    fleet = Fleet(4)
    fleet.run(0.2)

    fleet.audit.forget("cam00", fleet.now_ns)
    fleet.audit.tick(fleet.now_ns)

    snapshot = fleet.audit.snapshot(fleet.now_ns)
    assert "cam00" not in snapshot.estimate.cameras
    assert snapshot.windows.imbalance == 0
