"""What the cameras of a process share before their decoders: one budget, and permits for catching up.

Thread-safe; pumps ask, the event loop rebalances. Every call but `permit` is short.
"""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager
from pathlib import Path

from pipelines.gate.budget import DecodeBudget
from pipelines.gate.budget_cost import DecodeWork
from pipelines.gate.budget_spare import Spare
from pipelines.gate.budget_terms import BudgetOptions, BudgetSnapshot, Refused
from pipelines.gate.permit import Permits, PermitStatistics
from pipelines.values import Cause, Priority

_STAT = Path("/proc/stat")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class DecodeShare:
    """One per process."""

    def __init__(self, options: BudgetOptions) -> None:
        cpus = os.cpu_count() or 1
        self._spare = Spare(cpus, options.spare_share) if options.cores == 0 else None
        self._spent_s = 0.0
        if self._spare is not None:
            options = options.model_copy(update={"cores": self._spare.cores})
        self._lock = threading.Lock()
        self._budget = DecodeBudget(options)
        self._permits = Permits(max(1, cpus - 1))

    def refusal(self, camera: str, value: float, priority: Priority, now_ns: int) -> Cause | None:
        """Why this camera may not decode now, and its packets are `shed`; None: it may. Ask at every packet while it is
        awake."""
        with self._lock:
            answer = self._budget.want(camera, value, priority, now_ns)
        return answer.reason if isinstance(answer, Refused) else None

    def spent(self, camera: str, cpu_s: float, now_ns: int, work: DecodeWork) -> None:
        with self._lock:
            self._spent_s += cpu_s
            self._budget.spent(camera, cpu_s, now_ns, work)

    def release(self, camera: str) -> None:
        """It sleeps, or lost its connection."""
        with self._lock:
            self._budget.release(camera)

    def forget(self, camera: str) -> None:
        """It is gone."""
        with self._lock:
            self._budget.forget(camera)

    def permit(self, camera: str, arrival_ns: int, timeout_s: float) -> AbstractContextManager[bool]:
        """Blocks until this camera may catch up, the earliest arrival first. False: too late, or aborted."""
        return self._permits.hold(camera, arrival_ns, timeout_s)

    def abort(self, camera: str) -> None:
        """It stops: let its thread wait for no permit. Only what waits now."""
        self._permits.abort(camera)

    def rebalance(self, now_ns: int) -> None:
        """Choose anew who may decode. About twice a second; reads what the machine has left."""
        idle_s = idle_cpu_s() if self._spare is not None else None
        with self._lock:
            if self._spare is not None and idle_s is not None:
                self._budget.cores = self._spare.update(now_ns, idle_s, self._spent_s)
            self._budget.rebalance(now_ns)

    def snapshot(self, now_ns: int) -> tuple[BudgetSnapshot, PermitStatistics]:
        with self._lock:
            return self._budget.snapshot(now_ns), self._permits.statistics()


def idle_cpu_s() -> float | None:
    """CPU seconds in which this machine's processors had nothing to do, since it started (proc(5), /proc/stat).

    Work of nice processes counts as nothing: it gives way. None where the system does not say.
    """
    try:
        words = _STAT.read_text().split("\n", 1)[0].split()
        return (int(words[2]) + int(words[4]) + int(words[5])) / _TICKS_PER_S
    except (OSError, IndexError, ValueError):
        return None
