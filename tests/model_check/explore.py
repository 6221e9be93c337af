"""Breadth-first search over all states of a world that can copy itself, step, and be told apart by a key."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

Step = tuple[object, ...]


class Violation(AssertionError):
    """A property does not hold."""


class World(Protocol):
    """One state."""

    def steps(self) -> Iterable[Step]:
        """All that may happen next, each as a plain name with arguments."""

    def after(self, step: Step) -> Self:
        """A copy in which it happened. Raises Violation if that breaks a property."""

    def key(self) -> Hashable:
        """Equal for states between which no future can tell."""


W = TypeVar("W", bound=World)


@dataclass(frozen=True, slots=True)
class Explored:
    """What was seen."""

    states: int
    steps: int
    depth: int
    """Steps to the state farthest from the start."""
    broken: str | None = None
    """The property that does not hold, None if all do."""
    trace: tuple[Step, ...] = ()
    """The shortest way to break it."""


def explore(start: W, visit: Callable[[W], None] = lambda world: None, most_states: int = 10**9) -> Explored:
    """Every state that can be reached, or the shortest way to a broken property.

    Args:
        visit: Called once with each state; may raise Violation as well.
        most_states: A search that would see more is broken: it was meant to be exhaustive.
    """
    came_from: dict[Hashable, tuple[Hashable, Step] | None] = {start.key(): None}
    layer: list[tuple[Hashable, W]] = [(start.key(), start)]
    taken, depth = 0, 0
    while layer:
        following: list[tuple[Hashable, W]] = []
        for key, world in layer:
            step: Step = ("visit",)
            try:
                visit(world)
                for step in world.steps():
                    taken += 1
                    reached = world.after(step)
                    reached_key = reached.key()
                    if reached_key not in came_from:
                        came_from[reached_key] = (key, step)
                        following.append((reached_key, reached))
            except Violation as violation:
                trace = (*_way(came_from, key), step)
                return Explored(len(came_from), taken, depth, str(violation), trace)
            if len(came_from) > most_states:
                return Explored(len(came_from), taken, depth, f"more than {most_states} states")
        layer = following
        depth += bool(following)
    return Explored(len(came_from), taken, depth)


def _way(came_from: dict[Hashable, tuple[Hashable, Step] | None], key: Hashable) -> list[Step]:
    steps = []
    while (link := came_from[key]) is not None:
        key, step = link
        steps.append(step)
    return steps[::-1]
