"""In which order waiting tasks are looked at: priority, fairness between cameras, earliest deadline. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipelines.values import Priority

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """One waiting task."""

    item: T
    camera: str
    priority: Priority
    deadline_ns: int
    queued_ns: int


class Turns:
    """Who was served when, for those who cannot all be served."""

    def __init__(self) -> None:
        self._served: dict[str, int] = {}
        self._round = 0

    def served(self, cameras: Iterable[str]) -> None:
        self._round += 1
        self._served.update(dict.fromkeys(cameras, self._round))

    def fair(self, jobs: Sequence[Job[T]], most: int) -> list[Job[T]]:
        """`most` of the jobs: each camera's most urgent before any camera's second; the longest unserved camera first.

        The order of `jobs` (by deadline) is kept.
        """
        seen: Counter[str] = Counter()
        keyed = []
        for place, job in enumerate(jobs):
            keyed.append((seen[job.camera], self._served.get(job.camera, 0), place))
            seen[job.camera] += 1
        chosen = sorted(place for _, _, place in sorted(keyed)[:most])
        return [jobs[place] for place in chosen]


def by_deadline(jobs: Iterable[Job[T]]) -> list[Job[T]]:
    return sorted(jobs, key=lambda job: job.deadline_ns)


def least_urgent_last(jobs: Iterable[Job[T]]) -> list[Job[T]]:
    """Higher classes first, earliest deadline first within one."""
    return sorted(jobs, key=lambda job: (-job.priority, job.deadline_ns))
