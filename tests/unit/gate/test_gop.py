"""What is kept leads from a key frame to the newest packet, or nothing is kept."""

from __future__ import annotations

from pipelines.gate.gop import Gop, GopOptions
from pipelines.values import Packet


def packet(sequence: int, key: bool = False, size: int = 1000) -> Packet:
    return Packet(sequence, size, key, None, 0, None)


def add(gop: Gop, one: Packet) -> None:
    gop.add(one, one.is_keyframe)


def numbers(gop: Gop) -> list[int]:
    return [p.sequence for p in gop.packets]


def test_nothing_is_kept_before_the_first_key_frame() -> None:
    gop = Gop(GopOptions())
    add(gop, packet(0))
    assert not gop.whole
    assert numbers(gop) == []


def test_a_key_frame_begins_anew() -> None:
    gop = Gop(GopOptions())
    for n in range(7):
        add(gop, packet(n, key=n % 3 == 0))
    assert numbers(gop) == [6]
    add(gop, packet(7))
    assert numbers(gop) == [6, 7]
    assert gop.whole


def test_a_group_beyond_the_bound_is_given_up_until_the_next_key_frame() -> None:
    gop = Gop(GopOptions(max_bytes=64 * 1024))
    add(gop, packet(0, key=True, size=60_000))
    add(gop, packet(1, size=10_000))
    add(gop, packet(2))
    assert not gop.whole
    assert numbers(gop) == []
    add(gop, packet(3, key=True))
    assert numbers(gop) == [3]
    assert gop.statistics().given_up == 1
    assert gop.statistics().peak_bytes == 70_000


def test_a_gap_in_the_stream_empties_it() -> None:
    gop = Gop(GopOptions())
    add(gop, packet(0, key=True))
    gop.clear()
    add(gop, packet(1))
    assert not gop.whole
