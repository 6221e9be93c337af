"""What the server does, without a wire: both call the same few methods. Deadlines and refusals are decided here."""

from __future__ import annotations

import contextlib
import hmac
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import SecretStr

from pipelines.card import METADATA_KEY, to_json
from pipelines.values import F32, ModelCard
from pipelines.worker.serve.options import ServeOptions
from pipelines.worker.serve.regions import Regions
from pipelines.worker.serve.repository import Repository
from pipelines.worker.serve.status import Code, RequestError
from pipelines.worker.serve.tensor import (
    VERSION,
    InferRequest,
    InferResponse,
    InputTensor,
    SharedRange,
    check_outputs,
    pictures,
)
from pipelines.worker.serve.ticket import Ticket

SERVER = "framegate"
PLATFORM = "onnxruntime_onnx"
"""Triton's name for what a folded model is."""
BACKEND = "onnxruntime"
_EXTENSIONS = ("model_configuration", "model_repository", "binary_tensor_data", "schedule_policy")


@dataclass(frozen=True, slots=True)
class ServiceStatistics:
    """Counters since start."""

    answered: int
    refused: Mapping[Code, int]
    open: int
    """Inferences at work now."""
    peak_open: int


class Service:
    """Event-loop thread. Bound: serve.max_requests inferences; more are refused."""

    def __init__(self, repository: Repository, regions: Regions, options: ServeOptions, version: str) -> None:
        self.repository, self._regions, self._options = repository, regions, options
        self.version = version
        self.stopping = False
        """Set: not ready any more, no new inferences."""
        self._open = self._peak_open = self._answered = 0
        self._refused: Counter[Code] = Counter()

    @property
    def ready(self) -> bool:
        """Takes work. Not a matter of single models: a lane must not go because another model is being loaded."""
        return not self.stopping

    @property
    def regions(self) -> Regions:
        """Raises RequestError where shared memory is switched off."""
        if not self._options.shared_memory:
            raise RequestError(Code.UNIMPLEMENTED, "shared memory is switched off (serve.shared_memory)")
        return self._regions

    @property
    def extensions(self) -> tuple[str, ...]:
        return (*_EXTENSIONS, "system_shared_memory") if self._options.shared_memory else _EXTENSIONS

    def card(self, model: str, version: str) -> tuple[ModelCard, int]:
        """A model's card and its largest batch. Raises RequestError as Repository.find."""
        host = self.repository.find(model, version)
        return host.card, host.max_batch

    @contextlib.contextmanager
    def room(self) -> Iterator[None]:
        """Hold one of the places for requests; before a body is read, where the wire allows that.

        Raises:
            RequestError: all are taken, or the process is going. Refusals inside are counted.
        """
        try:
            if self.stopping:
                raise RequestError(Code.UNAVAILABLE, "the worker is stopping")
            if self._open >= self._options.max_requests:
                reason = f"{self._open} requests are at work (serve.max_requests): try again"
                raise RequestError(Code.RESOURCE_EXHAUSTED, reason)
            self._open += 1
            self._peak_open = max(self._peak_open, self._open)
            try:
                yield
            finally:
                self._open -= 1
        except RequestError as error:
            self._refused[error.code] += 1
            raise

    async def infer(self, request: InferRequest) -> InferResponse:
        """One inference, through the batcher of the lanes. Within `room`.

        Raises:
            RequestError: with the code that says why.
        """
        now_ns = time.monotonic_ns()
        latest_ns = now_ns + int(self._options.timeout_s * 1e9)
        deadline_ns = min(latest_ns, request.deadline_ns or latest_ns)
        if deadline_ns <= now_ns:
            raise RequestError(Code.DEADLINE_EXCEEDED, "the deadline had passed when the request was read")
        host = self.repository.find(request.model, request.version)
        card = host.card
        check_outputs(request.outputs, card)
        wanted = pictures([self._at_hand(tensor) for tensor in request.inputs], card, host.max_batch)
        ticket = Ticket(card, request, wanted, deadline_ns)
        host.collect(ticket)
        detections = await ticket.detections()
        shared = self._put(request, detections)
        self._answered += 1
        return InferResponse(request.model, VERSION, request.id, detections, shared)

    def statistics(self) -> ServiceStatistics:
        return ServiceStatistics(self._answered, dict(self._refused), self._open, self._peak_open)

    def _at_hand(self, tensor: InputTensor) -> InputTensor:
        if isinstance(tensor.data, SharedRange):
            return replace(tensor, data=self.regions.read(tensor.data))
        return tensor

    def _put(self, request: InferRequest, detections: F32) -> SharedRange | None:
        """Into the client's region, if it named one. Returns where it lies."""
        for output in request.outputs:
            if output.shared is not None:
                data = detections.astype("<f4", copy=False).tobytes()
                self.regions.write(output.shared, data)
                return replace(output.shared, byte_size=len(data))
        return None


def card_properties(card: ModelCard) -> Mapping[str, str]:
    """What a DPU process reads a model's card from (transport/grpc_card.py)."""
    return {METADATA_KEY: to_json(card)}


def check_no_parameters(names: Sequence[str]) -> None:
    """Triton lets `load` bring a configuration and files along; here nothing but the name comes from a client."""
    if unknown := [name for name in names if name != "unload_dependents"]:
        raise RequestError(Code.INVALID_ARGUMENT, f"a model is loaded as it is configured, without {unknown[0]!r}")


def check_token(wanted: SecretStr | None, given: str | bytes) -> None:
    """Compare an `authorization` header in constant time. Raises RequestError (UNAUTHENTICATED)."""
    if wanted is None:
        return
    expected = f"Bearer {wanted.get_secret_value()}".encode()
    if not hmac.compare_digest(given if isinstance(given, bytes) else given.encode(), expected):
        raise RequestError(Code.UNAUTHENTICATED, "send the token as `authorization: Bearer TOKEN`")
