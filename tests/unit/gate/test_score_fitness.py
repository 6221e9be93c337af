"""Streams that packets cannot gate say so, with the reason, and no others do."""

from __future__ import annotations

import random

from pipelines.gate.bitstream import PacketFacts
from pipelines.gate.bitstream_bits import SliceType
from pipelines.gate.score_fitness import Fitness

SECOND = 1_000_000_000
STEP = SECOND // 25


def packet(size: int, key: bool = False, qp: int | None = 28, recovery: int | None = None) -> PacketFacts:
    return PacketFacts(size, key, True, SliceType.I if key else SliceType.P, qp, recovery, False)


def reason(packets: list[PacketFacts]) -> str:
    fitness = Fitness(15 * SECOND)
    for number, facts in enumerate(packets):
        fitness.update(facts, number * STEP)
    return fitness.reason(len(packets) * STEP)


def sizes(count: int) -> list[int]:
    rng = random.Random(2)
    return [rng.randrange(1000, 2000) for _ in range(count)]


def test_a_group_every_ten_seconds_is_fit() -> None:
    assert reason([packet(size, key=n % 250 == 0) for n, size in enumerate(sizes(1500))]) == ""


def test_no_key_frame_after_the_first() -> None:
    assert reason([packet(size, key=n == 0) for n, size in enumerate(sizes(500))]) == "no key frame for 20 s"


def test_no_key_frame_ever() -> None:
    assert reason([packet(size) for size in sizes(500)]) == "no key frame at all for 20 s"


def test_intra_refresh_is_named() -> None:
    packets = [packet(size, n == 0, recovery=24 if n % 25 == 0 else None) for n, size in enumerate(sizes(500))]

    assert reason(packets) == "no key frame (intra refresh) for 20 s"


def test_refresh_beside_key_frames_is_fit() -> None:
    packets = [packet(size, n % 100 == 0, recovery=10 if n % 25 == 0 else None) for n, size in enumerate(sizes(500))]

    assert reason(packets) == ""


def test_an_earlier_refresh_is_not_the_reason() -> None:
    packets = [packet(size, n in (0, 50), recovery=9 if n < 50 else None) for n, size in enumerate(sizes(550))]

    assert reason(packets) == "no key frame for 20 s"


def test_a_key_frame_makes_it_fit_again() -> None:
    packets = [packet(size, key=n in (0, 499)) for n, size in enumerate(sizes(500))]

    assert reason(packets[:-1])
    assert not reason(packets)


def test_constant_sizes_are_unfit() -> None:
    assert reason([packet(1400, key=n % 50 == 0, qp=None) for n in range(200)]) == "packet sizes are constant"


def test_constant_sizes_with_a_qp_that_moves_are_fit() -> None:
    assert reason([packet(1400, n % 50 == 0, qp=26 + n % 3) for n in range(200)]) == ""


def test_a_new_connection_starts_anew() -> None:
    fitness = Fitness(15 * SECOND)
    fitness.update(packet(1000), 0)
    fitness.restart()
    fitness.update(packet(1000), 100 * SECOND)

    assert fitness.reason(100 * SECOND) == ""
