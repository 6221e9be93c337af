"""Which model serves: loaded and warmed beside the one that runs, swapped at once, the old one drained and freed.

state of one model    from                          to
----------------      ----------------------------  -------------------------------------------------------------
candidate             `load`: checked elsewhere     serving, or forgotten (nothing was changed)
serving               the swap: one assignment      retiring, at the next swap
retiring              takes from lanes that were    freed: when it holds no task and no lane is attached for it
                      attached for it, nothing new

Each model has a worker loop of its own (batcher, engine thread), so nothing waits for the swap: what the old one took
it answers, what comes next goes to the new one. A lane whose card fits the new model (card.interchangeable) goes on as
it is; any other is asked to attach again, and what it sent before is still answered by the model it was sent for.

Bound: two models beside the candidate; a third is refused until the oldest is freed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from pipelines.card import interchangeable
from pipelines.contracts import Engine
from pipelines.errors import DeviceLost, EngineError, LaneError, ModelError
from pipelines.values import F32, AnswerCode, ModelCard
from pipelines.worker.lifecycle_memory import give_back_memory
from pipelines.worker.lifecycle_terms import (
    AttachedLane,
    Candidate,
    CandidateSource,
    CardedReader,
    LifecycleStatistics,
    Swap,
)
from pipelines.worker.loop import WorkerLoop, WorkerStatistics
from pipelines.worker.options import BatchOptions
from pipelines.worker.pinning import Pinning
from pipelines.worker.share import Share

DRAIN_S = 10.0
"""How long `load` waits for the old model's lanes; a lane that stays longer is served on, and the next load refused."""
_DRAIN_POLL_S = 0.005
_NO_ROWS: F32 = np.empty((0, 6), np.float32)


@dataclass(slots=True, eq=False)
class _Served:
    model: Candidate
    engine: Engine
    loop: WorkerLoop
    pinning: Pinning
    running: asyncio.Task[None] | None = None

    def fits(self, lane: CardedReader) -> bool:
        return interchangeable(lane.card, self.engine.card)

    def close(self) -> None:
        self.loop.close()
        self.engine.close()


class Lifecycle:
    """The models of one worker process. Event-loop thread, but for loading and warming."""

    def __init__(
        self,
        first: Candidate,
        engine: Engine,
        options: BatchOptions,
        source: CandidateSource,
        lanes: Callable[[], Iterable[AttachedLane]],
        announce: Callable[[ModelCard], None],
        drain_s: float = DRAIN_S,
        on_bad: Callable[[], None] = lambda: None,
        share: Share | None = None,
    ) -> None:
        """
        Args:
            first: What `engine` was loaded from.
            options: For every model's batches.
            lanes: Attached now.
            announce: Tells lanes of another card to attach again. Raises LaneError if the card cannot travel.
            drain_s: See DRAIN_S.
            share: Of the device, where other models use it too; see WorkerLoop.
            on_bad: Called when nothing comes of several batches in a row of the model that serves.
        """
        self._options, self._source = options, source
        self._lanes, self._announce, self._drain_s, self._on_bad = lanes, announce, drain_s, on_bad
        self._share = share or Share()
        self._serving = self._served(first, engine)
        self._retiring: _Served | None = None
        self._before: Candidate | None = None
        self._loading = asyncio.Lock()
        self._freeing: asyncio.Task[None] | None = None
        self._group: asyncio.TaskGroup | None = None
        self._loads = self._refused = 0
        self._last_error = ""
        self._lanes_news = asyncio.Event()

    @property
    def model(self) -> Candidate:
        """The one that serves."""
        return self._serving.model

    @property
    def before(self) -> Candidate | None:
        """The one that served before: what `rollback` goes back to."""
        return self._before

    @property
    def card(self) -> ModelCard:
        return self._serving.engine.card

    @property
    def bad(self) -> bool:
        """Nothing comes of the batches of the model that serves."""
        return self._serving.loop.bad

    def warm(self) -> None:
        """See WorkerLoop.warm: of the first model, before `run`. Blocks.

        Raises:
            ModelError: it does not run. DeviceLost.
        """
        try:
            self._serving.loop.warm()
        except DeviceLost:
            raise
        except EngineError as error:
            raise ModelError(f"{self.model.reference} does not run: {error}") from error

    def lanes_changed(self) -> None:
        """A lane was attached, or has ended."""
        self._lanes_news.set()

    def collect(self, lane: CardedReader) -> None:
        """A lane has something: the model it was attached for takes all of it."""
        for served in (self._serving, self._retiring):
            if served is not None and served.fits(lane):
                served.loop.collect(lane)
                return
        while (taken := lane.take()) is not None:  # it attached while its model was being freed
            lane.answer(taken, AnswerCode.BAD_INPUT, _NO_ROWS, 0, 0)

    async def run(self) -> None:
        """Batches until cancelled.

        Raises:
            DeviceLost: see WorkerLoop.run; whichever model it was, the process must end.
        """
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._start(self._serving)
            group.create_task(self._tend_lanes(), name="pinning")

    async def load(self, reference: str, sha256: str = "") -> Swap:
        """Put another model in place of the one that serves. One at a time; the others wait.

        Args:
            sha256: What the folded file must be; empty: whatever it is.

        Raises:
            ModelError: it cannot be found, checked, loaded or warmed, or the model before last still has lanes. The
                one that serves goes on as if nothing had been asked; but if the candidate took the device with it,
                `run` ends with DeviceLost.
        """
        async with self._loading:
            try:
                swap = await self._load(reference, sha256)
            except (ModelError, EngineError, LaneError) as error:
                self._refused += 1
                self._last_error = f"{reference}: {error}"
                if isinstance(error, DeviceLost) and self._group is not None:
                    self._group.create_task(_raise(error), name="device lost")
                raise ModelError(self._last_error) from error
            self._loads += 1
            return swap

    async def reload(self) -> Swap:
        """Load again what serves: a newer version of its directory, or the file that was put in its place."""
        return await self.load(self.model.reference)

    async def rollback(self) -> Swap:
        """Load what served before. Twice gives the present one again.

        Raises:
            ModelError: as `load`; or nothing served before.
        """
        if self._before is None:
            raise ModelError("nothing was loaded before this model: there is nothing to go back to")
        return await self.load(self._before.path, self._before.sha256)

    def close(self) -> None:
        """Free the models. After `run`."""
        for served in (self._serving, self._retiring):
            if served is not None:
                served.close()

    def statistics(self) -> LifecycleStatistics:
        retiring = int(self._retiring is not None)
        return LifecycleStatistics(self._loads, self._refused, retiring, self._last_error, self.bad)

    def loop_statistics(self) -> WorkerStatistics:
        """Of the model that serves."""
        return self._serving.loop.statistics()

    # --- internals -------------------------------------------------------------------------------------------------

    async def _load(self, reference: str, sha256: str) -> Swap:
        if self._retiring is not None:
            raise ModelError(f"{self._retiring.model.reference} still has lanes that do not come back: try again later")
        began_ns = time.monotonic_ns()
        candidate = await self._source.check(reference)
        if sha256 not in ("", candidate.sha256):
            raise ModelError(f"{candidate.path} is no longer the file that served: name it to load it all the same")
        checked_ns = time.monotonic_ns()
        fresh = await asyncio.to_thread(self._prepare, candidate, self.card, self._serving.loop.usual_ns)
        ready_ns = time.monotonic_ns()
        try:
            reattached = self._swap(fresh)
        except LaneError:
            fresh.close()
            raise
        drained_ns = await self._drained_ns(ready_ns)
        card = fresh.engine.card
        return Swap(candidate, card, checked_ns - began_ns, ready_ns - checked_ns, drained_ns, reattached)

    def _prepare(self, candidate: Candidate, card: ModelCard, usual_ns: Mapping[int, float]) -> _Served:
        """Load and warm, in a thread of its own. One of the same kind takes as long as the one that serves."""
        engine = self._source.open(candidate)
        served = self._served(candidate, engine)
        try:
            served.loop.warm(usual_ns if interchangeable(engine.card, card) else None)
        except BaseException:
            served.close()
            raise
        return served

    def _served(self, model: Candidate, engine: Engine) -> _Served:
        loop = WorkerLoop(engine, self._options, lambda: self._turned_bad(model), self._share)
        return _Served(model, engine, loop, Pinning(engine, loop.holds))

    def _turned_bad(self, model: Candidate) -> None:
        if model is self.model:
            self._on_bad()

    def _swap(self, fresh: _Served) -> bool:
        """From here on `fresh` serves. True: lanes were asked to attach again. LaneError: nothing has changed."""
        assert self._group is not None, "load needs run"
        old, card = self._serving, fresh.engine.card
        differs = not interchangeable(card, old.engine.card)
        if differs:
            self._announce(card)
        old.loop.secede()
        self._start(fresh)
        self._serving, self._retiring, self._before = fresh, old, old.model
        self.lanes_changed()  # for the fresh one they are all new
        self._freeing = self._group.create_task(self._retire(old), name=f"retire[{old.engine.card.name}]")
        return differs

    def _start(self, served: _Served) -> None:
        assert self._group is not None
        served.running = self._group.create_task(served.loop.run(), name=f"batches[{served.engine.card.name}]")

    async def _retire(self, old: _Served) -> None:
        """Free a model once it holds nothing and nobody will bring it more."""
        while old.loop.in_hand or any(old.fits(lane) and not self._serving.fits(lane) for lane in self._lanes()):
            await asyncio.sleep(_DRAIN_POLL_S)
        self._retiring = None  # first: from here on nothing may be brought to it
        assert old.running is not None
        old.running.cancel()
        await asyncio.wait({old.running})
        await old.pinning.end()
        old.close()
        await self._serving.pinning.again()
        await asyncio.to_thread(give_back_memory)

    async def _tend_lanes(self) -> None:
        while True:
            await self._lanes_news.wait()
            self._lanes_news.clear()
            serving = self._serving
            await serving.pinning.follow([lane for lane in self._lanes() if serving.fits(lane)])

    async def _drained_ns(self, since_ns: int) -> int:
        """How long the old model took to go; 0 if it is still there after `drain_s`."""
        assert self._freeing is not None
        done, _ = await asyncio.wait({self._freeing}, timeout=self._drain_s)
        return time.monotonic_ns() - since_ns if done else 0


async def _raise(error: Exception) -> None:
    raise error
