"""A made-up fleet of cameras behind an audited packet gate: events with scores, a threshold, and cameras gone blind.

Time goes in event windows. An event lasts a few windows and has one score; the gate wakes if score * gain reaches the
threshold. Blind is a gain near 0: nothing wakes but the heartbeat and the audit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pipelines.gate.audit import Audit
from pipelines.gate.audit_control import AuditStep, ControlOptions
from pipelines.gate.audit_estimate import EstimateOptions
from pipelines.gate.audit_window import AuditOptions
from pipelines.values import Outcome

S = 1_000_000_000
WINDOW_S = 4.0
_COST_S = 0.35
"""CPU seconds of one audited window: 100 frames of 1080p25 and some inference."""


@dataclass
class _Scene:
    left: int = 0
    """Windows that the event will still last."""
    score: float = 0.0
    woken: bool = False
    """By the heartbeat or an audit."""


@dataclass
class Fleet:
    """`run` plays windows of every camera; `gains` may be changed between calls."""

    cameras: int
    seed: int = 1
    activity: float = 0.1
    event_windows: float = 3.0
    heartbeat_windows: int = 4
    control: ControlOptions = field(default_factory=ControlOptions)
    options: AuditOptions = field(default_factory=AuditOptions)
    cores: float = 2.0

    def __post_init__(self) -> None:
        self.audit = Audit(self.options, EstimateOptions(), self.control, self.cores)
        self.names = [f"cam{number:02}" for number in range(self.cameras)]
        self.gains = dict.fromkeys(self.names, 1.0)
        self.steps: list[tuple[float, AuditStep]] = []
        self.found = dict.fromkeys(self.names, 0)
        self.missed = dict.fromkeys(self.names, 0)
        self.spent_s = 0.0
        self.number = 0
        self._rng = np.random.default_rng(self.seed)
        self._scenes = {name: _Scene() for name in self.names}

    @property
    def now_ns(self) -> int:
        return int(self.number * WINDOW_S * S)

    @property
    def hours(self) -> float:
        return self.number * WINDOW_S / 3600

    def run(self, hours: float) -> None:
        for _ in range(round(hours * 3600 / WINDOW_S)):
            self.number += 1
            chances = self._rng.random((self.cameras, 4))
            for index, name in enumerate(self.names):
                self._window(index, name, *chances[index].tolist())
            if self.number % 15 == 0:
                self.steps += [(self.hours, step) for step in self.audit.tick(self.now_ns)]

    def recall(self, name: str) -> float:
        """The truth since `clear`."""
        return self.found[name] / max(self.found[name] + self.missed[name], 1)

    def clear(self) -> None:
        self.found = dict.fromkeys(self.names, 0)
        self.missed = dict.fromkeys(self.names, 0)

    def _window(self, index: int, name: str, begin: float, score: float, noise: float, draw: float) -> None:
        scene, now_ns = self._scenes[name], self.now_ns
        scene.left -= 1
        if scene.left <= 0:
            scene.left, scene.woken = 0, False
            if begin < self.activity / self.event_windows:
                scene.left = int(self._rng.geometric(1 / self.event_windows))
                scene.score = 1.0 + 4.0 * score  # all are above the configured threshold of 1
        setting = self.audit.settings(name)[Outcome.ASLEEP]
        level = scene.score * self.gains[name] if scene.left else 0.6 * noise
        if scene.left and (level >= setting.factor or setting.open_since_ns is not None):
            self.found[name] += 1
            self.audit.found(name, now_ns, now_ns)
            return
        self.missed[name] += bool(scene.left)
        if scene.woken:
            self.audit.known_miss(name, Outcome.ASLEEP, now_ns, now_ns)
            return
        if setting.open_since_ns is None:
            self._asleep(name, level / setting.factor, draw, bool(scene.left))
        if scene.left and (self.number + index) % self.heartbeat_windows == 0 and not scene.woken:
            scene.woken = True
            self.audit.known_miss(name, Outcome.ASLEEP, now_ns, now_ns)

    def _asleep(self, name: str, score: float, draw: float, event: bool) -> None:
        window = self.audit.offer(name, Outcome.ASLEEP, score, self.now_ns, draw)
        if window is None:
            return
        sequence = self.audit.frame(window, self.now_ns)
        self.audit.spent(window, _COST_S)
        self.spent_s += _COST_S
        self.audit.settle(sequence, Outcome.INFERRED, positive=event)
        self.audit.end(window, window.end_ns)
        self._scenes[name].woken |= event
