"""Which models clients may use: the worker's own, and further ones they load and unload by name.

| state       | index says  | infer     | load            | unload |
|-------------|-------------|-----------|-----------------|--------|
| UNAVAILABLE | UNAVAILABLE + why | UNAVAILABLE | -> LOADING  | nothing |
| LOADING     | LOADING     | UNAVAILABLE | refused       | refused |
| READY       | READY       | runs      | nothing         | -> UNLOADING |
| UNLOADING   | UNLOADING   | UNAVAILABLE | refused       | refused |

The worker's own model is the lanes' too: unloading it takes it from the clients of this protocol alone, and its engine
stays. Clients name models, never files; what may be loaded stands in the configuration.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pipelines.contracts import SlotReader
from pipelines.errors import FramegateError
from pipelines.values import ModelCard
from pipelines.worker.serve.status import Code, RequestError
from pipelines.worker.serve.tensor import VERSION


class CardedReader(SlotReader, Protocol):
    """A lane that knows which model it was made for."""

    @property
    def card(self) -> ModelCard: ...


class Host(Protocol):
    """One model that runs: its card now, and where its work goes."""

    @property
    def card(self) -> ModelCard: ...

    @property
    def max_batch(self) -> int: ...

    def collect(self, lane: CardedReader) -> None:
        """Take all that the lane has, and answer it in time."""


class LoadedHost(Host, Protocol):
    """A model that was loaded for clients of this protocol."""

    async def close(self) -> None:
        """Answer what it has, then free it."""


Open = Callable[[str], Awaitable[LoadedHost]]
"""From a shipped name or file to a model that runs. Raises ModelError."""


class ModelState(StrEnum):
    """As Triton's repository index calls them."""

    READY = "READY"
    UNAVAILABLE = "UNAVAILABLE"
    LOADING = "LOADING"
    UNLOADING = "UNLOADING"


@dataclass(frozen=True, slots=True)
class IndexEntry:
    name: str
    version: str
    state: ModelState
    reason: str


@dataclass(slots=True)
class _Offered:
    """A further model: where it comes from, and what it is now."""

    reference: str
    state: ModelState = ModelState.UNAVAILABLE
    reason: str = "not loaded"
    host: LoadedHost | None = None


class Repository:
    """Event-loop thread. Bound: `most` further models at once; more are refused."""

    def __init__(self, own: Host, offered: Mapping[str, str], open_model: Open, most: int) -> None:
        self._own, self._open, self._most = own, open_model, most
        self._offered = {name: _Offered(reference) for name, reference in offered.items()}
        self._own_hidden = False

    def find(self, name: str, version: str) -> Host:
        """A model that can be used now.

        Raises:
            RequestError: NOT_FOUND, or UNAVAILABLE with its state.
        """
        self._known(name, version)
        if name == self._own.card.name:
            if self._own_hidden:
                raise RequestError(Code.UNAVAILABLE, f"model {name} is unloaded")
            return self._own
        one = self._offered[name]
        if one.state is not ModelState.READY or one.host is None:
            raise RequestError(Code.UNAVAILABLE, f"model {name} is {one.state.lower()}: {one.reason}")
        return one.host

    def is_ready(self, name: str, version: str) -> bool:
        """Raises RequestError (NOT_FOUND) for a model or version that is none."""
        self._known(name, version)
        if name == self._own.card.name:
            return not self._own_hidden
        return self._offered[name].state is ModelState.READY

    def index(self) -> Iterable[IndexEntry]:
        hidden = self._own_hidden
        own_state = ModelState.UNAVAILABLE if hidden else ModelState.READY
        yield IndexEntry(self._own.card.name, VERSION, own_state, "unloaded" if hidden else "")
        for name, one in self._offered.items():
            if name != self._own.card.name:
                yield IndexEntry(name, VERSION, one.state, one.reason)

    async def load(self, name: str) -> None:
        """Make a model usable; nothing if it is. Returns when it is warm.

        Raises:
            RequestError: unknown, busy, too many, or INVALID_ARGUMENT with the reason why it cannot be loaded.
        """
        self._known(name, "")
        if name == self._own.card.name:
            self._own_hidden = False
            return
        one = self._offered[name]
        if one.state is ModelState.READY:
            return
        self._check_settled(name, one)
        if sum(other.state is not ModelState.UNAVAILABLE for other in self._offered.values()) >= self._most:
            raise RequestError(Code.RESOURCE_EXHAUSTED, f"{self._most} models are loaded (serve.max_models)")
        one.state, one.reason = ModelState.LOADING, ""
        try:
            one.host = await self._open(one.reference)
        except FramegateError as error:
            one.reason = str(error)
            raise RequestError(Code.INVALID_ARGUMENT, f"model {name} cannot be loaded: {error}") from error
        finally:
            one.state = ModelState.READY if one.host is not None else ModelState.UNAVAILABLE
            one.reason = one.reason or ("" if one.host is not None else "loading was interrupted")

    async def unload(self, name: str) -> None:
        """Take a model from the clients; nothing if it is not loaded. Returns when it is freed.

        Raises:
            RequestError: unknown, or busy.
        """
        self._known(name, "")
        if name == self._own.card.name:
            self._own_hidden = True
            return
        one = self._offered[name]
        if one.state is ModelState.UNAVAILABLE:
            return
        self._check_settled(name, one)
        one.state, host, one.host = ModelState.UNLOADING, one.host, None
        try:
            assert host is not None
            await host.close()
        finally:
            one.state, one.reason = ModelState.UNAVAILABLE, "unloaded"

    async def close(self) -> None:
        """Free the further models."""
        for one in self._offered.values():
            if (host := one.host) is not None:
                one.host, one.state = None, ModelState.UNAVAILABLE
                await host.close()

    def _known(self, name: str, version: str) -> None:
        if name != self._own.card.name and name not in self._offered:
            raise RequestError(Code.NOT_FOUND, f"there is no model {name!r}; ask for the repository's index")
        if version not in ("", VERSION):
            raise RequestError(Code.NOT_FOUND, f"model {name} has no version {version}, only {VERSION}")

    def _check_settled(self, name: str, one: _Offered) -> None:
        if one.state in (ModelState.LOADING, ModelState.UNLOADING):
            raise RequestError(Code.UNAVAILABLE, f"model {name} is {one.state.lower()}: try again")
