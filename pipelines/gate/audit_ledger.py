"""The audit's own account: every frame and every window it took in has exactly one outcome, or is in flight.

The law of accounting.py holds twice, for `frames` and for `windows`. Both are apart from the camera's ledger, where an
audited packet is `asleep`, `still` or `empty` like its neighbours.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from pipelines.accounting import Ledger
from pipelines.gate.audit_window import Audited, AuditOptions, AuditWindow
from pipelines.values import Outcome

_SPANS = 256
"""Spans of sightings remembered per camera: more than fit between a window's start and its judgement."""
_ENOUGH = 0.5
"""A window without a miss counts if the detector answered for this share of its frames."""


@dataclass(slots=True)
class _Open:
    window: AuditWindow
    sequence: int
    in_flight: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    cells: set[int] = field(default_factory=set)
    cpu_s: float = 0.0
    ended_ns: int | None = None
    void: bool = False


class AuditLedger:
    """Windows from `begin` to `judged`, their frames from `frame` to `settle`. Not thread-safe: the owner locks.

    Bound: the windows that the plan lets run at once, and their frames.
    """

    def __init__(self, options: AuditOptions) -> None:
        self._cell_ns = int(options.window_s * 1e9)
        self._grace_ns = int(options.grace_s * 1e9)
        self._wait_ns = self._grace_ns + int(options.settle_s * 1e9)
        self._open: dict[int, _Open] = {}
        self._frames: dict[int, tuple[int, int]] = {}
        self._found: dict[str, deque[tuple[int, int]]] = {}
        self._cells: dict[tuple[str, bool], int] = {}
        self.frames = Ledger()
        self.windows = Ledger()

    def begin(self, window: AuditWindow) -> None:
        self._open[window.number] = _Open(window, self.windows.enter())

    def frame(self, window: AuditWindow, time_ns: int) -> int:
        """A packet or frame of the window goes in. Returns its number in `frames`."""
        sequence = self.frames.enter()
        if (opened := self._open.get(window.number)) is not None:
            opened.in_flight += 1
            self._frames[sequence] = window.number, time_ns
        return sequence

    def settle(self, sequence: int, outcome: Outcome, positive: bool = False) -> None:
        """Give a frame its outcome. positive: the detector saw something wanted in it."""
        self.frames.settle(sequence, outcome)
        number, time_ns = self._frames.pop(sequence, (-1, 0))
        opened = self._open.get(number)
        if opened is None:
            return
        opened.in_flight -= 1
        opened.outcomes[outcome] += 1
        if positive:
            opened.cells.add((time_ns - opened.window.start_ns) // self._cell_ns)

    def spent(self, window: AuditWindow, cpu_s: float) -> None:
        """Work done for a window: catch-up, decoding, gates, inference."""
        if (opened := self._open.get(window.number)) is not None:
            opened.cpu_s += cpu_s

    def end(self, window: AuditWindow, now_ns: int, void: bool = False) -> None:
        """No more frames of it will come. void: it does not count (camera gone, thresholds changed)."""
        if (opened := self._open.get(window.number)) is not None and opened.ended_ns is None:
            opened.ended_ns = now_ns
            opened.void = void

    def void(self, camera: str, now_ns: int) -> None:
        """What is open of a camera will not count: it speaks of thresholds that are gone. Its frames still settle."""
        for opened in self._open.values():
            if opened.window.camera == camera:
                opened.void = True
                opened.ended_ns = now_ns if opened.ended_ns is None else opened.ended_ns

    def found(self, camera: str, time_ns: int) -> bool:
        """The normal path by itself saw something wanted. True: the first time in this event window."""
        spans = self._found.setdefault(camera, deque(maxlen=_SPANS))
        first, last = spans[-1] if spans else (time_ns, time_ns)
        if spans and first <= time_ns <= last + self._grace_ns:
            spans[-1] = first, max(last, time_ns)
        else:
            spans.append((time_ns, time_ns))
        return self._new_cell(camera, True, time_ns)

    def known_miss(self, camera: str, time_ns: int) -> bool:
        """Something wanted was seen only because the heartbeat or an audit had woken the stream.

        True: the first time in this event window, and no window that is being audited has it already.
        """
        for opened in self._open.values():
            window = opened.window
            if window.camera == camera and window.start_ns <= time_ns <= max(opened.ended_ns or 0, window.end_ns):
                return False
        return self._new_cell(camera, False, time_ns)

    def _new_cell(self, camera: str, found: bool, time_ns: int) -> bool:
        cell = time_ns // self._cell_ns
        if cell <= self._cells.get((camera, found), -1):
            return False
        self._cells[camera, found] = cell
        return True

    def forget(self, camera: str) -> None:
        self._found.pop(camera, None)
        for found in (True, False):
            self._cells.pop((camera, found), None)

    def judged(self, now_ns: int) -> list[Audited]:
        """Windows that are over: ended, every frame settled, and the normal path had its time to answer."""
        ready = [opened for opened in self._open.values() if self._over(opened, now_ns)]
        for opened in ready:
            del self._open[opened.window.number]
        return [self._judge(opened) for opened in ready]

    def _over(self, opened: _Open, now_ns: int) -> bool:
        if opened.ended_ns is None or opened.in_flight:
            return False
        return opened.void or now_ns >= opened.ended_ns + self._wait_ns

    def _judge(self, opened: _Open) -> Audited:
        outcome = _outcome(opened)
        self.windows.settle(opened.sequence, outcome)
        missed = 0 if outcome is not Outcome.INFERRED or self._seen(opened) else len(opened.cells)
        return Audited(opened.window, outcome, missed, opened.cpu_s)

    def _seen(self, opened: _Open) -> bool:
        begun, ended = opened.window.start_ns - self._grace_ns, (opened.ended_ns or 0) + self._grace_ns
        return any(first <= ended and last >= begun for first, last in self._found.get(opened.window.camera, ()))


def _outcome(opened: _Open) -> Outcome:
    """Of a window: inferred if something was seen or enough was answered, else what befell most of its frames."""
    asked = opened.outcomes - Counter({Outcome.PACED: opened.outcomes[Outcome.PACED]})
    if opened.void:
        return Outcome.STOPPED
    answered = asked.pop(Outcome.INFERRED, 0)
    if opened.cells or (answered and answered >= _ENOUGH * (answered + asked.total())):
        return Outcome.INFERRED
    return max(asked, key=lambda outcome: asked[outcome], default=Outcome.FAILED)
