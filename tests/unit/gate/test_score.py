"""The score finds what stands out of a stream's own quiet, whatever the stream's rate, control and shape."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import exp

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.gate.bitstream import PacketFacts
from pipelines.gate.bitstream_bits import SliceType
from pipelines.gate.predictor import Predictor
from pipelines.gate.score import ScoreOptions, Scorer

SECOND = 1_000_000_000
FPS = 25
OPTIONS = ScoreOptions()
WORTH_A_LOOK = 3.0


def packet(size: float, qp: int | None = 28, key: bool = False) -> PacketFacts:
    return PacketFacts(round(size), key, True, SliceType.I if key else SliceType.P, qp, None, False)


def quiet(seconds: float, seed: int = 1, gop: int = 50, size: float = 6000, noise: float = 0.2) -> list[PacketFacts]:
    """A still picture with sensor noise: log-normal sizes, key frames ten times as large."""
    rng = random.Random(seed)
    return [
        packet(
            size * rng.lognormvariate(0, noise) if n % gop else 10 * size * rng.lognormvariate(0, 0.02),
            28,
            n % gop == 0,
        )
        for n in range(round(seconds * FPS))
    ]


def active(packets: Sequence[PacketFacts], first: int, count: int, factor: float) -> list[PacketFacts]:
    """The same, with `count` packets larger."""
    inside = range(first, first + count)
    return [
        replace(p, payload_bytes=round(p.payload_bytes * factor)) if n in inside and not p.is_key else p
        for n, p in enumerate(packets)
    ]


def scores(packets: Sequence[PacketFacts], options: ScoreOptions = OPTIONS, fps: float = FPS) -> list[float]:
    scorer: Predictor = Scorer(options)
    return [scorer.update(facts, round(n / fps * SECOND)) for n, facts in enumerate(packets)]


def test_noise_alone_is_quiet() -> None:
    """Five minutes, after the learning: fewer than one packet in thirty above the threshold."""
    late = scores(quiet(300))[20 * FPS :]

    assert sum(score > WORTH_A_LOOK for score in late) < len(late) / 30


def test_a_group_whose_packets_shrink_to_its_end_is_quiet() -> None:
    """At QP 18, at which noise is coded, an encoder needs a quarter less at the end of a group than a third before."""
    noise = random.Random(1)
    packets = [p if p.is_key else packet(700 * exp(-0.012 * (n % 50)) * noise.lognormvariate(0, 0.03))
               for n, p in enumerate(quiet(300))]  # fmt: skip
    late = scores(packets)[20 * FPS :]
    by_place = [sum(late[place::50]) / len(late[place::50]) for place in range(50)]

    assert sum(score > WORTH_A_LOOK for score in late) < len(late) / 30
    assert max(by_place) - min(by_place) < 1.5


@pytest.mark.parametrize("factor", [1.5, 2.0, 4.0])
def test_activity_shows_within_a_second(factor: float) -> None:
    first = 40 * FPS
    packets = active(quiet(45), first, 5 * FPS, factor)

    late = scores(packets)[first : first + FPS]

    assert max(late) > 2 * WORTH_A_LOOK


def test_one_packet_alone_wakes_nobody() -> None:
    first = 40 * FPS + 3
    packets = active(quiet(42), first, 1, 50.0)

    assert max(scores(packets)[first:]) < WORTH_A_LOOK


@settings(max_examples=15, deadline=None)
@given(st.floats(0.1, 50))
def test_the_bit_rate_of_the_stream_does_not_matter(scale: float) -> None:
    """Up to the 64 bytes that an empty picture takes."""
    packets = active(quiet(20, size=20_000), 18 * FPS, FPS, 2.0)
    scaled = [replace(p, payload_bytes=round(p.payload_bytes * scale)) for p in packets]

    assert scores(scaled)[-1] == pytest.approx(scores(packets)[-1], rel=0.15, abs=0.3)


@pytest.mark.parametrize("worth", [0.15, 0.45, 1.2])
def test_a_rate_control_that_plays_with_qp_hides_nothing_and_invents_nothing(worth: float) -> None:
    """Whatever a step of QP is worth in this stream: each QP has its own level."""
    rng = random.Random(5)
    packets = active(quiet(70, size=200_000), 60 * FPS, FPS, 2.0)
    moved = []
    for p in packets:
        steps = rng.randrange(-1, 2)
        moved.append(packet(p.payload_bytes * exp(-steps * worth), 28 + steps, p.is_key))

    found = scores(moved)

    assert max(found[60 * FPS : 61 * FPS]) > 2 * WORTH_A_LOOK
    assert sum(score > WORTH_A_LOOK for score in found[30 * FPS : 60 * FPS]) < 0.03 * 30 * FPS


@settings(max_examples=25, deadline=None)
@given(st.floats(1, 5), st.floats(0, 5), st.integers(1, 25))
def test_a_stronger_burst_has_no_lower_score(factor: float, more: float, count: int) -> None:
    packets = quiet(20)

    weak = scores(active(packets, 500 - count, count, factor))[-1]
    strong = scores(active(packets, 500 - count, count, factor + more))[-1]

    assert strong >= weak - 1e-9


def test_constant_bit_rate_hides_activity_from_sizes_but_not_from_qp() -> None:
    rng = random.Random(3)
    calm = [packet(15_000 * rng.lognormvariate(0, 0.02), 24 + rng.randrange(2)) for _ in range(40 * FPS)]
    busy = [packet(15_000 * rng.lognormvariate(0, 0.02), 28 + rng.randrange(2)) for _ in range(2 * FPS)]

    assert max(scores(calm + busy)[40 * FPS :]) > 2 * WORTH_A_LOOK
    assert max(scores(calm + busy, ScoreOptions(ln_per_qp=0))[40 * FPS :]) < WORTH_A_LOOK


def test_key_frames_are_only_compared_with_key_frames() -> None:
    """Whatever the group length, also when it changes (smart GOP). So little noise that one would stand out."""
    packets = quiet(60, gop=25, noise=0.03) + quiet(60, 2, gop=250, noise=0.03) + quiet(60, 3, noise=0.03)

    late = scores(packets)[20 * FPS :]

    assert sum(score > WORTH_A_LOOK for score in late) < 0.02 * len(late)


def test_unknown_qp_falls_back_to_sizes() -> None:
    packets = [replace(p, qp=None) for p in active(quiet(45), 40 * FPS, 50, 2.0)]

    late = scores(packets)

    assert max(late[40 * FPS :]) > 2 * WORTH_A_LOOK
    assert sum(score > WORTH_A_LOOK for score in late[20 * FPS : 40 * FPS]) < 15


@pytest.mark.parametrize("fps", [5, 12.5, 60])
def test_other_frame_rates_need_as_much_time_not_as_many_packets(fps: float) -> None:
    first = round(60 * fps)
    packets = active(quiet(62 * fps / FPS, gop=1000), first, first, 3.0)

    late = scores(packets, fps=fps)[first : first + round(fps)]

    assert max(late) > WORTH_A_LOOK


def test_what_lasts_becomes_the_quiet() -> None:
    """Rain sets in: it wakes, and two windows later the stream sleeps again."""
    packets = active(quiet(120), 40 * FPS, 100 * FPS, 2.0)

    late = scores(packets)

    assert max(late[40 * FPS : 42 * FPS]) > WORTH_A_LOOK
    assert sum(score > WORTH_A_LOOK for score in late[100 * FPS :]) < 0.02 * 20 * FPS


def test_after_long_activity_the_next_is_still_seen() -> None:
    """Ten seconds of activity, five of quiet, and activity again: the first did not become the level."""
    packets = active(active(quiet(60), 40 * FPS, 10 * FPS, 3.0), 55 * FPS, 2 * FPS, 3.0)

    late = scores(packets)

    assert max(late[55 * FPS : 56 * FPS]) > WORTH_A_LOOK


def learned(packets: Sequence[PacketFacts], time_of: Callable[[int], int]) -> list[bool]:
    scorer = Scorer(OPTIONS)
    out = []
    for n, facts in enumerate(packets):
        scorer.update(facts, time_of(n))
        out.append(scorer.ready(time_of(n)))
    return out


def test_it_is_ready_after_learning_and_learns_anew_after_a_long_gap() -> None:
    gap_at = 20 * FPS

    ready = learned(quiet(40), lambda n: n * SECOND // FPS + (60 * SECOND if n >= gap_at else 0))

    learning = round(OPTIONS.learn_s * FPS)
    assert ready[: gap_at + learning + 1] == [False] * learning + [True] * (gap_at - learning) + [False] * learning + [
        True
    ]


def test_a_stream_that_stopped_is_not_ready_for_ever() -> None:
    scorer = Scorer(OPTIONS)
    for n, facts in enumerate(quiet(20)):
        scorer.update(facts, n * SECOND // FPS)

    assert scorer.ready(21 * SECOND)
    assert not scorer.ready(60 * SECOND)


def test_a_new_connection_keeps_the_quiet_and_forgets_the_last_packets() -> None:
    packets = active(quiet(45), 40 * FPS, FPS, 4.0)
    scorer = Scorer(OPTIONS)
    before = [scorer.update(facts, n * SECOND // FPS) for n, facts in enumerate(packets[: 41 * FPS])]
    scorer.restart()
    after = [scorer.update(facts, (41 * FPS + n) * SECOND // FPS) for n, facts in enumerate(packets[41 * FPS :])]

    assert before[-1] > WORTH_A_LOOK
    learning = round(OPTIONS.mean_s * FPS)
    assert after[:learning] == [0.0] * learning
    assert 0 < max(abs(score) for score in after[learning:]) < 2 * WORTH_A_LOOK
    assert scorer.ready(45 * SECOND)


@pytest.mark.parametrize("jump_s", [-3600, 3600])
def test_a_jump_in_time_is_learned_anew_and_costs_no_memory(jump_s: int) -> None:
    scorer = Scorer(OPTIONS)
    for start_s in (7200, 7200 + jump_s):
        ready = []
        for n, facts in enumerate(active(quiet(42), 40 * FPS, FPS, 3.0)):
            time_ns = start_s * SECOND + n * SECOND // FPS
            score = scorer.update(facts, time_ns)
            ready.append(scorer.ready(time_ns))
            if n == 41 * FPS - 1:
                assert score > WORTH_A_LOOK
        assert ready.index(True) == round(OPTIONS.learn_s * FPS)


def test_presentation_times_may_step_back() -> None:
    """As with B-frames: order of decoding I P b b, order of time I b b P."""
    scorer = Scorer(OPTIONS)
    order = [3, 1, 2]
    packets = active(quiet(45), 40 * FPS, 5 * FPS, 2.0)

    late = [scorer.update(facts, (n // 3 * 3 + order[n % 3]) * SECOND // FPS) for n, facts in enumerate(packets)]

    assert max(late[40 * FPS : 41 * FPS]) > 2 * WORTH_A_LOOK
    assert sum(score > WORTH_A_LOOK for score in late[20 * FPS : 40 * FPS]) < 15


def test_packets_without_a_picture_change_nothing() -> None:
    packets = quiet(20)
    scorer = Scorer(OPTIONS)
    last = [scorer.update(facts, n * SECOND // FPS) for n, facts in enumerate(packets)][-1]

    assert scorer.update(PacketFacts(0, False, None, None, None, None, True), 20 * SECOND) == last
