"""Who may run: what would probably be late is refused before it costs engine time (Clockwork, OSDI 2020).

Batch times have a tail, so "in time" is a chance, and certainty would refuse much work that ends well. The admission
keeps a promise instead: of all tasks that run, a small share ends late. Each task that runs earns that share; what a
batch may be expected to lose, by the measured tail, is taken from the savings, and so is each task that did end late:
what the tail did not foretell is paid as well.
"""

from __future__ import annotations

PROMISE = 0.0007
"""Share of the tasks run that may end late. Lost tasks are paid twice if foreseen, so about half of it comes true."""
_MOST_SAVED = 4.0
_MOST_OWED = 2.0
"""Bounds of the savings, tasks. Debt is bounded, or one bad minute would make it timid for an hour."""
_SPREAD = 256
"""Savings are spent over about so many tasks, not on the next one."""
_DARE = 0.2


class Admission:
    """How much risk is right now. Pure; one thread."""

    def __init__(self) -> None:
        self._saved = 0.0
        self.ended_late = 0
        """Tasks that ran and ended after their deadline."""

    def risk(self, load: float) -> float:
        """The chance of ending late that a task may run at.

        Args:
            load: 0..1, how much of the engine's time is asked for. Fully loaded, a task at risk only takes the place of
                one that is safe.
        """
        if self._saved < 0:
            return 0.0
        return min(_DARE, PROMISE + self._saved / _SPREAD) * (1 - load)

    def ran(self, tasks: int, expected_late: float) -> None:
        """A batch was started."""
        self._saved = min(_MOST_SAVED, self._saved + PROMISE * tasks - expected_late)

    def ended(self, late: int) -> None:
        """A batch ended, so many of its tasks late."""
        self.ended_late += late
        self._saved = max(-_MOST_OWED, self._saved - late)
