"""The law: per camera, at any instant, `packets == sum(outcomes) + in_flight`.

The ledger knows each open packet by number, so `in_flight` is counted, not derived, and the identity can fail: a packet
settled twice, or one that never entered, shows in `imbalance` for ever.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.values import Cause, Outcome


@dataclass(frozen=True, slots=True)
class LedgerSnapshot:
    """One consistent reading of a ledger."""

    packets: int
    outcomes: Mapping[Outcome, int]
    causes: Mapping[tuple[Outcome, Cause], int]
    in_flight: int
    violations: int
    """Settlements of packets that were not open."""

    @property
    def imbalance(self) -> int:
        """0, or there is a bug."""
        return abs(self.packets - sum(self.outcomes.values()) - self.in_flight) + self.violations

    @property
    def due(self) -> int:
        """Due frames: packets less `paced`. Filter rates are quoted of these."""
        return self.packets - self.outcomes.get(Outcome.PACED, 0)


class Ledger:
    """One camera's account. Thread-safe: the pump enters, pump and event loop settle. Costs about a microsecond.

    Bound: as many open numbers as packets in flight (decoder delay + slots).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._packets = 0
        self._open: set[int] = set()
        self._outcomes: Counter[Outcome] = Counter()
        self._causes: Counter[tuple[Outcome, Cause]] = Counter()
        self._violations = 0

    def enter(self) -> int:
        """A packet came in. Returns its sequence number, from 0."""
        with self._lock:
            sequence = self._packets
            self._packets += 1
            self._open.add(sequence)
            return sequence

    def settle(self, sequence: int, outcome: Outcome, cause: Cause | None = None) -> bool:
        """Give a packet its one outcome. False (and a violation) if it is not open."""
        with self._lock:
            if sequence not in self._open:
                self._violations += 1
                return False
            self._open.discard(sequence)
            self._outcomes[outcome] += 1
            if cause is not None:
                self._causes[outcome, cause] += 1
            return True

    def settle_open(self, outcome: Outcome, cause: Cause) -> int:
        """Give all open packets this outcome: whoever held them is gone. Returns how many."""
        with self._lock:
            count = len(self._open)
            self._open.clear()
            if count:
                self._outcomes[outcome] += count
                self._causes[outcome, cause] += count
            return count

    def snapshot(self) -> LedgerSnapshot:
        """Read all figures at one instant."""
        with self._lock:
            return LedgerSnapshot(
                packets=self._packets,
                outcomes=dict(self._outcomes),
                causes=dict(self._causes),
                in_flight=len(self._open),
                violations=self._violations,
            )
