"""Is a model fit to serve? A batch may fail for many reasons; several in a row speak against the model. Pure."""

from __future__ import annotations

STRIKES = 3
"""Batches in a row of which no task was answered well, each tried again where that may help."""


class Health:
    """Of one model, since it serves."""

    def __init__(self) -> None:
        self._strikes = 0

    @property
    def bad(self) -> bool:
        return self._strikes >= STRIKES

    def ended(self, answered: int) -> bool:
        """A batch has ended, and so many of its tasks were answered well. True: with this one the model turned bad."""
        self._strikes = 0 if answered else self._strikes + 1
        return self._strikes == STRIKES
