"""Several models on one device: whose batch runs next. Pure: time is an argument.

Each model has a batcher of its own, with its own batch times. Of those whose batch is due, the one with the highest
priority runs; among equals first those that had less of the device lately than their share, and among these the one
that must start first. A batch that its start would make late, and that is as important, runs before it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Generic, TypeVar

from pipelines.worker.batcher import Proposal

K = TypeVar("K")
T = TypeVar("T")

_MEMORY_NS = 1e9
"""Time constant of what a model had lately."""


class Shares(Generic[K]):
    """How much of the device each model had lately. Models that ask for nothing lose nothing: it is soon forgotten."""

    def __init__(self) -> None:
        self._had: dict[K, float] = {}
        self._now_ns = 0

    def ran(self, model: K, took_ns: float, now_ns: int) -> None:
        self._forget(now_ns)
        self._had[model] = self._had.get(model, 0.0) + took_ns

    def drop(self, model: K) -> None:
        self._had.pop(model, None)

    def has_more_than_its_share(self, model: K, asking: int) -> bool:
        """`asking`: how many models want the device now."""
        total = sum(self._had.values())
        return self._had.get(model, 0.0) > total / asking if asking else False

    def _forget(self, now_ns: int) -> None:
        kept = math.exp(-max(0, now_ns - self._now_ns) / _MEMORY_NS)
        self._now_ns = max(now_ns, self._now_ns)
        self._had = {model: had * kept for model, had in self._had.items()}


def next_model(waiting: Mapping[K, Proposal[T]], shares: Shares[K], now_ns: int) -> K | None:
    """Whose batch runs now; None: nobody's yet. `waiting`: what each model with tasks would run."""
    due = {model: proposal for model, proposal in waiting.items() if proposal.start_ns <= now_ns}
    if not due:
        return None
    model = _first(due, shares)
    endangered = _endangered(waiting, waiting[model], now_ns)
    return _first(endangered, shares) if endangered else model


def _first(proposals: Mapping[K, Proposal[T]], shares: Shares[K]) -> K:
    asking = len(proposals)

    def rank(model: K) -> tuple[int, bool, int]:
        proposal = proposals[model]
        return -_priority(proposal), shares.has_more_than_its_share(model, asking), proposal.latest_ns

    return min(proposals, key=rank)


def _endangered(proposals: Mapping[K, Proposal[T]], running: Proposal[T], now_ns: int) -> dict[K, Proposal[T]]:
    """Those as important that could not start in time any more once `running` has run, but can now."""
    end_ns = now_ns + running.takes_ns
    return {
        model: proposal
        for model, proposal in proposals.items()
        if _priority(proposal) >= _priority(running) and now_ns <= proposal.latest_ns < min(end_ns, running.latest_ns)
    }


def _priority(proposal: Proposal[T]) -> int:
    return max(job.priority for job in proposal.batch)
