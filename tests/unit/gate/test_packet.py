"""The packet gate over real packets: quiet is slept through, something happening wakes, the group leads there."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from pipelines.accounting import Ledger
from pipelines.gate.packet import PacketGate, PacketGateOptions
from pipelines.source.file import FileOptions, FileSource
from pipelines.values import Action
from tests.fakes.scene import Scene, clip

BUSY_S = (22.0, 26.0)
SCENE = Scene(width=320, height=180, seconds=36, fps=10, gop=20, busy_s=(BUSY_S,))


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_quiet_is_slept_through_and_an_event_wakes(codec: str) -> None:
    made = clip(replace(SCENE, codec=codec, crf=26 if codec == "h264" else 22))
    source = FileSource(made.path, Ledger(), FileOptions(paced=False))
    stream = source.open()
    gate = PacketGate(PacketGateOptions(threshold=4, hold_s=2, heartbeat_s=5), paced=False)
    gate.restart(stream.info)
    actions: list[tuple[float, Action]] = []
    woken: list[float] = []
    while (packet := stream.read()) is not None:
        was_awake = gate.decoding
        action = gate.admit(packet)
        at_s = (packet.pts_ns or 0) / 1e9
        if action is Action.DECODE and BUSY_S[0] <= at_s <= BUSY_S[1]:
            gate.seen(packet.pts_ns or 0)
        if action is Action.DECODE and not was_awake:
            woken.append(at_s)
            assert gate.whole
            kept = gate.kept()
            assert not kept or kept[0].is_keyframe
            assert [p.sequence for p in kept] == list(range(packet.sequence - len(kept), packet.sequence))
        actions.append((at_s, action))
    stream.close()

    def share(action: Action, start_s: float, end_s: float) -> float:
        inside = [a for t, a in actions if start_s <= t < end_s]
        return sum(a is action for a in inside) / len(inside)

    assert share(Action.DECODE, 0, 10) == 1  # learning
    assert share(Action.SLEEP, 18, 21.5) > 0.8
    assert any(BUSY_S[0] <= t <= BUSY_S[0] + 1.0 for t in woken)
    assert share(Action.DECODE, BUSY_S[0] + 1, BUSY_S[1]) > 0.9
    assert share(Action.SLEEP, 30, 36) > 0.8
    glances = [t for t, a in actions if a is Action.GLANCE]
    assert glances
    assert all(b - a >= 5 for a, b in pairwise(glances))


def test_an_external_trigger_wakes() -> None:
    made = clip(SCENE)
    gate = PacketGate(PacketGateOptions(hold_s=1), paced=False)
    stream = FileSource(made.path, Ledger(), FileOptions(paced=False)).open()
    gate.restart(stream.info)
    actions = []
    while (packet := stream.read()) is not None:
        at_ns = packet.pts_ns or 0
        if at_ns == 20_000_000_000:
            assert not gate.decoding
            gate.trigger(21_000_000_000)
        actions.append((at_ns / 1e9, gate.admit(packet)))
    stream.close()
    assert all(a is Action.DECODE for t, a in actions if 20 <= t <= 21)
