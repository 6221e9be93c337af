"""One decode budget for the process: which of the streams that want to be decoded may be.

A stream that is awake asks (`want`) again and again while it is awake; it decodes while the answer is a Grant, else its
packets are `shed`. Committed cost is what the granted streams are measured to cost, plus what catch-up, heartbeat and
audit took lately. `want` grants a newcomer what fits; who was refused gets in by `rebalance`, which chooses anew:

1. *Floor.* Streams refused for `patience_s`, longest first, in at most `floor_share` of the budget (at least one
   stream). They then keep the grant for `floor_hold_s`. So everybody who keeps asking is decoded now and then.
2. *Worth.* All others by value * weight of the priority / cost, while they fit. Streams that decode already count
   `keep_bonus` times, so that two equals do not take turns.

What is chosen and not decoding yet has its room kept (`promised`) until it asks. Who comes in leaves `reserve` of the
budget free, so that measurements may waver without anybody being put back. One stream may always decode, even if it
alone costs more than the budget.

| stream is | then | becomes |
|---|---|---|
| unknown, idle | `want`, and it fits | granted |
| unknown, idle | `want`, and it does not fit | refused |
| refused | chosen by `rebalance` | promised |
| promised | `want` | granted |
| promised | not chosen by `rebalance` | refused |
| granted | not chosen by `rebalance` | refused (put back) |
| any | `release`, or not asking for `wanting_s` | idle |
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median

from pipelines.gate.budget_cost import DecodeWork, StreamCost
from pipelines.gate.budget_meter import RateMeter
from pipelines.gate.budget_terms import BudgetOptions, BudgetSnapshot, Grant, Refused
from pipelines.values import Cause, Priority


class _State(StrEnum):
    IDLE = "idle"
    REFUSED = "refused"
    PROMISED = "promised"
    GRANTED = "granted"


@dataclass(slots=True)
class _Stream:
    cost: StreamCost
    value: float = 0.0
    priority: Priority = Priority.NORMAL
    state: _State = _State.IDLE
    reason: Cause = Cause.OVER_BUDGET
    asked_ns: int = 0
    refused_ns: int = 0
    """Since when it has been waiting; only while refused or promised."""
    floor_until_ns: int = 0
    floor: bool = False
    """Promised from the floor."""


@dataclass(slots=True)
class _Choice:
    """A packing under way: what is in it, and what it costs."""

    cost: float = 0.0
    cameras: set[str] = field(default_factory=set)

    def take(self, camera: str, cores: float, limit: float) -> bool:
        """Take it if it fits under the limit, or if nothing is in yet."""
        if self.cameras and self.cost + cores > limit:
            return False
        self.cameras.add(camera)
        self.cost += cores
        return True


class DecodeBudget:
    """The choice, incrementally. Pure: time is an argument. Not thread-safe: the owner locks.

    `want` and `spent` cost about a microsecond (a newcomer's `want` more, with the streams), `rebalance` 0.2 ms for 64.
    """

    def __init__(self, options: BudgetOptions) -> None:
        self._options = options
        self._streams: dict[str, _Stream] = {}
        self._guess = options.first_cores
        self.cores = options.cores
        """What all decoding may take now; may be set at any time, and counts from the next choice on."""
        self._overhead = RateMeter(options.fade_s)
        self._grants = self._refusals = self._put_back = 0

    def want(self, camera: str, value: float, priority: Priority, now_ns: int) -> Grant | Refused:
        """May this stream be decoded now? Ask at every packet or so while it is awake.

        Args:
            value: what a second of it is expected to be worth now, > 0; only ratios count. A gate score, say.
        """
        stream = self._known(camera)
        stream.value, stream.priority, stream.asked_ns = value, priority, now_ns
        if stream.state is _State.GRANTED:
            return Grant(stream.cost.cores)
        if stream.state is _State.REFUSED:
            return Refused(stream.reason)
        if stream.state is _State.PROMISED or self._fits(stream, now_ns):
            self._grant(stream, now_ns)
            return Grant(stream.cost.cores)
        self._refuse(stream, Cause.OVER_BUDGET, now_ns)
        return Refused(Cause.OVER_BUDGET)

    def spent(self, camera: str, cpu_s: float, now_ns: int, work: DecodeWork = DecodeWork.LIVE) -> None:
        """Thread seconds that decoding for this stream has just taken."""
        if work is DecodeWork.LIVE:
            self._known(camera).cost.add(cpu_s, now_ns)
        else:
            self._overhead.add(cpu_s, now_ns)

    def release(self, camera: str) -> None:
        """It sleeps again, or lost its connection: it wants nothing. What it costs is remembered."""
        if (stream := self._streams.get(camera)) is not None:
            stream.state, stream.floor = _State.IDLE, False
            stream.cost.end()

    def forget(self, camera: str) -> None:
        """The camera is gone."""
        self._streams.pop(camera, None)

    def rebalance(self, now_ns: int) -> set[str]:
        """Choose anew among all that want; call it about twice a second. Returns the cameras put back.

        Their next `want` is refused, so nobody needs to be told.
        """
        self._expire(now_ns)
        self._learn()
        chosen = self._choose(now_ns)
        put_back = set()
        for camera, stream in self._streams.items():
            if stream.state is _State.GRANTED and camera not in chosen:
                self._refuse(stream, Cause.PUT_BACK, now_ns)
                stream.cost.end()
                put_back.add(camera)
            elif stream.state is _State.REFUSED and camera in chosen:
                stream.state = _State.PROMISED
            elif stream.state is _State.PROMISED and camera not in chosen:
                stream.state = _State.REFUSED
        self._put_back += len(put_back)
        return put_back

    def snapshot(self, now_ns: int) -> BudgetSnapshot:
        """For metrics and the report."""
        states = [stream.state for stream in self._streams.values()]
        overhead = self._overhead.per_s(now_ns)
        return BudgetSnapshot(
            cores=self.cores,
            committed=self._cost(_State.GRANTED) + overhead,
            overhead=overhead,
            granted=states.count(_State.GRANTED),
            refused=states.count(_State.REFUSED) + states.count(_State.PROMISED),
            grants=self._grants,
            refusals=self._refusals,
            put_back=self._put_back,
        )

    # --- states ----------------------------------------------------------------------------------------------------

    def _known(self, camera: str) -> _Stream:
        stream = self._streams.get(camera)
        if stream is None:
            stream = self._streams[camera] = _Stream(StreamCost(self._guess, self._options.least_cores))
        return stream

    def _grant(self, stream: _Stream, now_ns: int) -> None:
        stream.floor_until_ns = now_ns + int(self._options.floor_hold_s * 1e9) if stream.floor else 0
        stream.floor = False
        stream.state = _State.GRANTED
        stream.cost.begin(now_ns)
        self._grants += 1

    def _refuse(self, stream: _Stream, reason: Cause, now_ns: int) -> None:
        stream.state, stream.reason, stream.refused_ns = _State.REFUSED, reason, now_ns
        self._refusals += 1

    def _expire(self, now_ns: int) -> None:
        for stream in self._streams.values():
            if now_ns - stream.asked_ns > self._options.wanting_s * 1e9:
                stream.state, stream.floor = _State.IDLE, False
                stream.cost.end()

    def _learn(self) -> None:
        """Streams that were never granted are taken to cost what the others do."""
        costs = [stream.cost.cores for stream in self._streams.values() if stream.cost.measured]
        if costs:
            self._guess = median(costs)
        for stream in self._streams.values():
            stream.cost.guess(self._guess)

    # --- the choice ------------------------------------------------------------------------------------------------

    def _cost(self, *states: _State) -> float:
        return sum(stream.cost.cores for stream in self._streams.values() if stream.state in states)

    def _fits(self, stream: _Stream, now_ns: int) -> bool:
        """Is there room that was not promised to somebody? One stream may always decode."""
        taken = self._cost(_State.GRANTED, _State.PROMISED)
        return not taken or taken + stream.cost.cores <= self._room(now_ns) - self._reserve()

    def _reserve(self) -> float:
        return self._options.reserve * self.cores

    def _room(self, now_ns: int) -> float:
        return self.cores - self._overhead.per_s(now_ns)

    def _choose(self, now_ns: int) -> set[str]:
        wanting = {camera: stream for camera, stream in self._streams.items() if stream.state is not _State.IDLE}
        room = self._room(now_ns)
        floor = min(self._options.floor_share * self.cores, room)
        choice = _Choice()
        for stream in wanting.values():
            stream.floor = False
        for camera in self._starved(wanting, now_ns):
            if not choice.take(camera, wanting[camera].cost.cores, floor):
                break  # nobody overtakes: who costs much would wait for ever
            wanting[camera].floor = wanting[camera].state is not _State.GRANTED
        for camera in self._ranked(wanting, choice.cameras):
            stream = wanting[camera]
            choice.take(camera, stream.cost.cores, room if stream.state is _State.GRANTED else room - self._reserve())
        return choice.cameras

    def _starved(self, wanting: dict[str, _Stream], now_ns: int) -> Iterable[str]:
        """Served from the floor: those that hold such a grant, then those that waited too long, longest first."""
        held = [
            camera
            for camera, stream in wanting.items()
            if stream.state is _State.GRANTED and now_ns < stream.floor_until_ns
        ]
        patience_ns = self._options.patience_s * 1e9
        waited = [
            camera
            for camera, stream in wanting.items()
            if stream.state is not _State.GRANTED and now_ns - stream.refused_ns >= patience_ns
        ]
        return [*sorted(held), *sorted(waited, key=lambda camera: (wanting[camera].refused_ns, camera))]

    def _ranked(self, wanting: dict[str, _Stream], taken: set[str]) -> Iterable[str]:
        """The others, most worth for the cost first."""
        left = [camera for camera in wanting if camera not in taken]
        return sorted(left, key=lambda camera: (-self._worth(wanting[camera]), camera))

    def _worth(self, stream: _Stream) -> float:
        bonus = self._options.keep_bonus if stream.state is _State.GRANTED else 1.0
        return stream.value * self._options.weights[stream.priority] * bonus / stream.cost.cores
