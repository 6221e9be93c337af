"""The DPU's end of lanes to one worker, whatever carries them: attach, carry, notice the loss, start again.

A link may have several carriers, best first: each time it attaches, the first that can is taken, and why the better
ones could not is kept for people. A lane stays with its carrier until it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from pipelines.contracts import LaneEvents
from pipelines.errors import LaneError
from pipelines.transport.options import LaneOptions
from pipelines.transport.writer import LaneWriter

RETIRE_POLL_S = 0.01


class Session(Protocol):
    """One attach, to its end. Event-loop thread, but for the writer's loan, publish and discard."""

    @property
    def writer(self) -> LaneWriter: ...

    async def carry(self) -> str:
        """Deliver answers until the lane is over. Returns why, for people. Raises what the events raise."""


SessionT = TypeVar("SessionT", bound=Session)
SessionT_co = TypeVar("SessionT_co", bound=Session, covariant=True)


class Carrier(Protocol[SessionT_co]):
    """One way to one worker."""

    @property
    def name(self) -> str:
        """shm, rdma or grpc."""

    def attach(self, events: LaneEvents) -> AbstractAsyncContextManager[SessionT_co]:
        """Connect, and agree with the worker; leaving gives everything back.

        Raises:
            LaneError: no lane; says why.
        """

    def counters(self) -> Mapping[str, int]:
        """What this carrier alone counts, over all its lanes since start."""


@dataclass(frozen=True, slots=True)
class LinkStatistics:
    """How a link is doing."""

    attached: bool
    attaches: int
    losses: int
    """Attached lanes that ended."""
    failures: int
    """Attempts to attach that failed, by every carrier there is."""
    reason: str
    """Of the latest loss or failure, for people."""
    carrier: str = ""
    """Of the present lane, or the latest; empty before the first."""
    choice: str = ""
    """Why that one, for people."""
    counters: Mapping[str, int] = field(default_factory=dict)
    """Of all its carriers, as CARRIER_NAME."""


class NoCarrier:
    """A way that there is not, for the place in the order that it would have."""

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason

    def attach(self, events: LaneEvents) -> AbstractAsyncContextManager[Any]:
        """Raises LaneError with the reason."""
        raise LaneError(self.reason)

    def counters(self) -> Mapping[str, int]:
        return {}


class Link(Generic[SessionT]):
    """One worker as seen from the DPU. Event-loop thread, but for the writer's loan, publish and discard."""

    def __init__(self, carriers: Sequence[Carrier[SessionT]], options: LaneOptions, events: LaneEvents) -> None:
        """carriers: best first; at least one."""
        self._carriers, self._options, self._events = tuple(carriers), options, events
        self._session: SessionT | None = None
        self._draining = False
        self._attaches = self._losses = self._failures = 0
        self._reason = self._carrier = self._choice = ""

    @property
    def writer(self) -> LaneWriter | None:
        """Of the present epoch; None while no worker is attached."""
        return self._session.writer if self._session else None

    async def run(self) -> None:
        """Keep a lane to the worker, attaching again with a short back-off, until cancelled or drained.

        A lane that had lasted is followed by the next at once: the worker may only have changed its model.
        Raises only what `events` raises; over gRPC, in a group.
        """
        loop = asyncio.get_running_loop()
        backoff_s = self._options.connect_backoff_s
        while not self._draining:
            attaches, began_s = self._attaches, loop.time()
            try:
                await self._attach_and_carry()
            except LaneError as error:
                self._failures += 1
                self._reason = str(error)
            if self._attaches > attaches:
                backoff_s = self._options.connect_backoff_s
                if loop.time() - began_s > self._options.connect_backoff_max_s:
                    continue
            if not self._draining:
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, self._options.connect_backoff_max_s)

    async def drain(self, deadline_s: float) -> int:
        """Lend no more slots, attach no more, and wait (at most so long) for what is out. Returns what is still out."""
        self._draining = True
        if (session := self._session) is None:
            return 0
        session.writer.close()
        until = asyncio.get_running_loop().time() + deadline_s
        while session.writer.used and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(RETIRE_POLL_S)
        return session.writer.used

    def statistics(self) -> LinkStatistics:
        return LinkStatistics(
            attached=self._session is not None,
            attaches=self._attaches,
            losses=self._losses,
            failures=self._failures,
            reason=self._reason,
            carrier=self._carrier,
            choice=self._choice,
            counters={
                f"{each.name}_{name}": count for each in self._carriers for name, count in each.counters().items()
            },
        )

    async def _attach_and_carry(self) -> None:
        """By the first carrier that can. Returns when its lane has ended. Raises LaneError if none can."""
        passed: list[str] = []
        for carrier in self._carriers:
            attaches = self._attaches
            try:
                async with carrier.attach(self._events) as session:
                    self._carrier, self._choice = carrier.name, self._because(passed)
                    await self._carry(session)
                    return
            except LaneError as error:
                if self._attaches > attaches:
                    raise
                passed.append(str(error) if len(self._carriers) == 1 else f"no {carrier.name}: {error}")
        raise LaneError("; ".join(passed))

    def _because(self, passed: Sequence[str]) -> str:
        if passed:
            return "; ".join(passed)
        return "as configured" if len(self._carriers) == 1 else "the best way there is"

    async def _carry(self, session: SessionT) -> None:
        self._session = session
        self._attaches += 1
        reason = "the link was stopped"
        try:
            self._events.attached(session.writer)
            reason = await session.carry()
        finally:
            self._session = None
            self._losses += 1
            self._reason = reason
            self._events.lost(session.writer.lose(), reason)
