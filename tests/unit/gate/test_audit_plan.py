"""The draw: probabilities that are known and right, and a share that is never exceeded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.gate.audit_plan import AuditPlan
from pipelines.gate.audit_window import AuditOptions, AuditWindow
from pipelines.values import Outcome

S = 1_000_000_000
ASLEEP = Outcome.ASLEEP


def always(plan: AuditPlan, camera: str, now_s: float, score: float = 0.0) -> AuditWindow | None:
    return plan.offer(camera, ASLEEP, score, int(now_s * S), 0.0)


def loaded() -> AuditPlan:
    """After four minutes of 64 cameras, from which nothing was drawn."""
    plan, rng = AuditPlan(AuditOptions(), cores=2.0), np.random.default_rng(5)
    for number in range(4000):
        plan.offer(f"cam{number % 64}", ASLEEP, rng.random(), number * S // 16, 1.0)
    return plan


def play(
    options: AuditOptions, cores: float, cost_s: float, seconds: int, cameras: int = 16
) -> tuple[float, list[float]]:
    """Every camera sleeps, with a key frame every 2 s. Returns (CPU seconds spent, probabilities)."""
    plan, rng = AuditPlan(options, cores), np.random.default_rng(1)
    spent, probabilities = 0.0, []
    for second in range(0, seconds, 2):
        for camera in range(cameras):
            window = plan.offer(f"cam{camera}", ASLEEP, rng.random(), second * S, rng.random())
            if window is not None:
                plan.finish(window, cost_s)
                spent += cost_s
                probabilities.append(window.probability)
    return spent, probabilities


def test_windows_tile_the_time_and_begin_at_the_first_chance_after_the_last_one_ended() -> None:
    """Key frames every 2 s, with a jitter: a window of 4 s takes two of them, not three."""
    plan = AuditPlan(AuditOptions(window_s=4.0, share=0.5, burst_s=1000), cores=2.0)

    begun = [second for second in (0.0, 2.01, 3.98, 6.0, 8.01, 10.0, 12.02) if always(plan, "cam", second)]

    assert begun == [0.0, 3.98, 8.01, 12.02]
    assert plan.take_units() == {("cam", ASLEEP): 4}
    assert plan.take_units() == {}


def test_gates_of_a_camera_have_windows_of_their_own() -> None:
    plan = AuditPlan(AuditOptions(share=0.5, burst_s=1000), cores=2.0)

    windows = [plan.offer("cam", gate, 0.0, 0, 0.0) for gate in (ASLEEP, Outcome.STILL, Outcome.EMPTY, ASLEEP)]

    assert [window.gate if window else None for window in windows] == [ASLEEP, Outcome.STILL, Outcome.EMPTY, None]


def test_a_draw_at_or_above_the_probability_is_not_taken() -> None:
    above, below = (AuditPlan(AuditOptions(most_probability=0.3), cores=2.0) for _ in range(2))

    assert above.offer("cam", ASLEEP, 0.0, 0, 0.3) is None
    window = below.offer("cam", ASLEEP, 0.0, 0, 0.299)
    assert window is not None
    assert window.probability == 0.3


def test_each_stratum_is_drawn_as_often_as_its_probability_says() -> None:
    plan, rng = AuditPlan(AuditOptions(share=0.05), cores=2.0), np.random.default_rng(4)
    weights, units = np.zeros(3), np.zeros(3)
    for number in range(20_000):
        score = rng.random()
        window = plan.offer(f"cam{number % 40}", ASLEEP, score, number * S // 10, rng.random())
        units[int(np.searchsorted([0.5, 0.8], score, side="right"))] += 1
        if window is not None:
            plan.finish(window, 0.4)
            weights[window.stratum] += 1 / window.probability

    assert weights == pytest.approx(units, rel=0.15)


def test_a_higher_score_is_audited_more_often() -> None:
    low, high = (always(loaded(), "new", 250, score) for score in (0.1, 0.9))

    assert low is not None
    assert high is not None
    assert high.probability == pytest.approx(4 * low.probability, rel=0.02)


def test_a_suspect_camera_is_audited_more_often_for_a_while() -> None:
    seen = []
    for suspect_since_s in (None, 250, 250 - 1801):
        plan = loaded()
        if suspect_since_s is not None:
            plan.suspect("cam", suspect_since_s * S)
        window = always(plan, "cam", 250)
        assert window is not None
        seen.append(window.probability)

    assert seen == pytest.approx([seen[0], 8 * seen[0], seen[0]], rel=0.05)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.005, 0.1), st.floats(0.5, 8), st.floats(0.05, 2.0), st.integers(1, 40))
def test_the_share_is_never_exceeded(share: float, cores: float, cost_s: float, cameras: int) -> None:
    """But for the bucket and for what a window costs above its estimate, until it is known."""
    options = AuditOptions(share=share)

    spent, _ = play(options, cores, cost_s, seconds=400, cameras=cameras)

    bucket = max(share * cores * options.burst_s, 2 * options.first_cost_s)
    assert spent <= share * cores * 400 + bucket + cost_s


def test_the_share_is_used_where_there_is_enough_to_audit() -> None:
    spent, probabilities = play(AuditOptions(share=0.02), cores=2.0, cost_s=0.3, seconds=4000)

    assert spent == pytest.approx(0.04 * 4000, rel=0.1)
    assert max(probabilities) <= 0.5


def test_a_window_that_never_finished_does_not_drain_the_share_twice() -> None:
    plan = AuditPlan(AuditOptions(share=0.1), cores=1.0)
    window = always(plan, "cam", 0)
    assert window is not None
    level = plan.level_s(0)

    plan.finish(window, 0.0, complete=False)
    plan.finish(window, 0.0, complete=False)

    assert plan.level_s(0) == pytest.approx(level + 0.4)
    assert plan.cost_s(ASLEEP) == 0.4, "an incomplete window says nothing of what one costs"


def test_an_empty_bucket_draws_nothing_but_counts_what_it_could_not_look_at() -> None:
    plan = AuditPlan(AuditOptions(share=0.01, most_probability=1.0), cores=1.0)
    drawn = [always(plan, f"cam{number}", 0.0, 0.9) is not None for number in range(10)]

    assert drawn.index(False) == 3, "1.5 CPU seconds are half a bucket, a window takes 0.4"
    assert not any(drawn[3:])
    assert sum(plan.take_units().values()) == 10


def test_windows_that_cost_nothing_are_still_drawn_by_chance() -> None:
    spent, probabilities = play(AuditOptions(), cores=2.0, cost_s=0.0, seconds=100)

    assert spent == 0.0
    assert 0.0 < max(probabilities) <= 0.5


def test_strata_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValidationError, match="one positive value more"):
        AuditOptions(edges=(0.5,), boost=(1.0,))
