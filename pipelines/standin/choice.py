"""Who answers this task now? Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Answerer(Enum):
    """In the order in which they are asked."""

    WORKER = "worker"
    DETECTOR = "detector"
    """This process's own."""
    PRESENCE = "presence"
    """The presence score that is known already."""
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of one task."""

    worker: bool
    """A worker has it, or may be given it, and is not known to be silent."""
    left_ns: int
    """To its deadline."""
    audited: bool
    """The audit's: its estimates rest on the worker's model, and must not be answered by another."""
    picture: bool
    """Its picture is at hand."""
    present: bool | None
    """What the presence model says; None: it was not asked."""


def choose(case: Case, takes_ns: int | None) -> Answerer:
    """The best that can still answer in time.

    Args:
        takes_ns: How long the own detector would take, with what waits for it already; None: there is none.
    """
    if case.worker:
        return Answerer.WORKER
    if case.audited or case.left_ns < 0:
        return Answerer.NOBODY
    if case.picture and takes_ns is not None and takes_ns <= case.left_ns:
        return Answerer.DETECTOR
    return Answerer.NOBODY if case.present is None else Answerer.PRESENCE
