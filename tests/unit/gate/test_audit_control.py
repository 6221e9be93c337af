"""Thresholds move only on evidence, in bounded steps, and back."""

from __future__ import annotations

import pytest

from pipelines.contracts import GateSetting
from pipelines.gate.audit_camera import CameraRecall
from pipelines.gate.audit_control import AuditStep, ControlOptions, ThresholdControl
from pipelines.gate.audit_estimate import AuditEstimate, Recall
from pipelines.gate.audit_interval import Interval
from pipelines.gate.audit_window import GATES
from pipelines.values import Outcome

HOUR = 3600 * 1_000_000_000
ASLEEP, STILL = Outcome.ASLEEP, Outcome.STILL
OPTIONS = ControlOptions(target_recall=0.95, margin=0.02)
ALL = (0.0, 1.0)


def recall(low: float, high: float, sufficient: bool = True, missed: float = 10.0) -> Recall:
    interval = Interval(low, high)
    value = (low + high) / 2
    return Recall(missed * value / (1 - value) if value < 1 else 1e6, missed, interval, interval, 500, 10, sufficient)


def camera(low: float, high: float, sufficient: bool = True, gate: Outcome = ASLEEP) -> CameraRecall:
    return CameraRecall((low + high) / 2, Interval(low, high), {gate: 5.0, Outcome.EMPTY: 1.0}, 50, 5, sufficient)


def seen(chain: Recall, *cameras: CameraRecall, worst: Outcome = ASLEEP) -> AuditEstimate:
    gates = {gate: recall(0.5, 0.9, missed=9.0 if gate is worst else 1.0) for gate in GATES}
    return AuditEstimate(chain, gates, {f"cam{number}": one for number, one in enumerate(cameras)})


def factors(steps: list[AuditStep]) -> list[tuple[str, Outcome, float]]:
    return [(step.camera, step.gate, round(step.setting.factor, 4)) for step in steps]


@pytest.mark.parametrize(
    "estimate",
    [
        seen(recall(0.0, 0.1, sufficient=False), camera(0.0, 0.1, sufficient=False)),
        seen(recall(0.99, 1.0, sufficient=False), camera(0.99, 1.0, sufficient=False)),
        seen(recall(0.99, 1.0, sufficient=False), camera(0.99, 1.0)),
        seen(recall(0.90, 0.96), camera(0.5, 0.97)),
        seen(recall(0.955, 0.99), camera(0.955, 0.99)),
    ],
    ids=["blind but insufficient", "good but insufficient", "fleet insufficient", "around the target", "in the margin"],
)
def test_holds_where_the_evidence_does_not_tell(estimate: AuditEstimate) -> None:
    assert ThresholdControl(OPTIONS).update(estimate, 0) == []


def test_a_camera_below_the_target_gets_more_sensitive_where_it_misses_most() -> None:
    control = ThresholdControl(OPTIONS)

    steps = control.update(seen(recall(0.96, 0.99), camera(0.8, 0.93, gate=STILL), camera(0.94, 0.99)), 0)

    assert factors(steps) == [("cam0", STILL, 0.85)]
    assert control.settings("cam0")[STILL] == GateSetting(0.85)
    assert control.settings("cam1") == control.settings("unknown")


def test_far_below_the_step_is_fast_and_bounded_then_the_gate_is_opened() -> None:
    control, blind = ThresholdControl(OPTIONS), seen(recall(0.9, 0.99), camera(0.0, 0.1))

    settings = [control.update(blind, minute)[0].setting for minute in range(3)]

    assert [setting.factor for setting in settings] == [0.5, 0.25, 0.25]
    assert [setting.open_since_ns for setting in settings] == [None, None, 2]
    other_gate = control.update(blind, 3)
    assert [step.gate for step in other_gate] == [Outcome.EMPTY], "what is open is not moved"


def test_an_opened_gate_is_tried_again_each_time_later() -> None:
    control = ThresholdControl(ControlOptions(least_factor=1.0, retry_s=3600))
    blind = seen(recall(0.9, 0.99), CameraRecall(0.0, Interval(*ALL), {ASLEEP: 5.0}, 50, 5, True))
    bad = seen(recall(0.9, 0.99), CameraRecall(0.0, Interval(0.0, 0.1), {ASLEEP: 5.0}, 50, 5, True))
    opened, closed = list[float](), list[float]()
    for quarter in range(40):
        for step in control.update(bad if is_closed(control) else blind, quarter * HOUR // 4):
            (opened if step.setting.open_since_ns is not None else closed).append(quarter / 4)

    assert [end - begin for begin, end in zip(opened, closed, strict=False)] == [1, 2, 4]


def is_closed(control: ThresholdControl) -> bool:
    return control.settings("cam0")[ASLEEP].open_since_ns is None


def test_a_fleet_below_the_target_moves_those_on_the_wrong_side() -> None:
    """cam0 knows too little of itself, but shrunk it is below; cam1 is above."""
    control = ThresholdControl(OPTIONS)

    steps = control.update(
        seen(recall(0.88, 0.93), camera(0.7, 0.99, sufficient=False), camera(0.94, 0.99), worst=STILL), 0
    )

    assert factors(steps) == [("cam0", STILL, 0.85)]


def test_relaxes_slowly_what_was_tightened_first_and_then_the_packet_gate_up_to_its_bound() -> None:
    control = ThresholdControl(ControlOptions(relax_step=1.2, most_factor=1.3, relax_s=3600))
    control.update(seen(recall(0.9, 0.96), camera(0.8, 0.93, gate=STILL)), 0)
    good = seen(recall(0.98, 1.0), camera(0.98, 1.0))

    steps = [factors(control.update(good, quarter * HOUR // 4)) for quarter in range(1, 25)]

    assert [step for step in steps if step] == [
        [("cam0", STILL, 1.02)],
        [("cam0", ASLEEP, 1.2)],
        [("cam0", ASLEEP, 1.3)],
    ]
    assert [quarter for quarter, step in enumerate(steps, 1) if step] == [4, 8, 12]


def test_a_forgotten_camera_starts_anew() -> None:
    control = ThresholdControl(OPTIONS)
    control.update(seen(recall(0.9, 0.99), camera(0.0, 0.1)), 0)

    control.forget("cam0")

    assert control.settings("cam0")[ASLEEP] == GateSetting()
