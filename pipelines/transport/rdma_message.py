"""What the two ends of an RDMA lane tell each other before there is one. Pure: values to bytes and back.

| message  | from   | content |
|----------|--------|---------|
| PROOF    | DPU    | - |
| WELCOME  | worker | as in message.py: protocol version, model card, most slots |
| ATTACH   | DPU    | versions, epoch, slots, sizes; its queue pair, and the region that answers may be written to |
| ATTACHED | worker | its queue pair, and the regions that headers and payloads may be written to |
| REFUSED, PING, PONG, DRAIN, CARD | | as in message.py |

A version covers the messages; the slot header's own version and the sizes of both regions are compared beside it, so
two builds that lay out memory differently refuse each other before a byte of it is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from pipelines.errors import LaneError
from pipelines.transport import layout
from pipelines.transport.message import Kind, encode
from pipelines.transport.rdma_verbs import Endpoint, RemoteRegion
from pipelines.transport.region import RegionLayout
from pipelines.values import ModelCard

PROOF = b"P"


@dataclass(frozen=True, slots=True)
class RdmaAttach:
    """What the DPU process asks for."""

    header_version: int
    """layout.VERSION"""
    epoch: int
    slots: int
    payload_bytes: int
    top_k: int
    payload_region_bytes: int
    answer_region_bytes: int
    endpoint: Endpoint
    answers: RemoteRegion

    @property
    def region(self) -> RegionLayout:
        return RegionLayout(self.slots, self.payload_bytes, self.top_k)


@dataclass(frozen=True, slots=True)
class RdmaAttached:
    """Where the worker wants it."""

    endpoint: Endpoint
    headers: RemoteRegion
    payloads: RemoteRegion


Body = TypeVar("Body", RdmaAttach, RdmaAttached)
_attach, _attached = TypeAdapter(RdmaAttach), TypeAdapter(RdmaAttached)


def encode_attach(region: RegionLayout, epoch: int, endpoint: Endpoint, answers: RemoteRegion) -> bytes:
    body = RdmaAttach(
        header_version=layout.VERSION,
        epoch=epoch,
        slots=region.slots,
        payload_bytes=region.payload_bytes,
        top_k=region.top_k,
        payload_region_bytes=region.payload_region_bytes,
        answer_region_bytes=region.answer_region_bytes,
        endpoint=endpoint,
        answers=answers,
    )
    return bytes([Kind.ATTACH]) + _attach.dump_json(body)


def decode_attach(data: bytes) -> RdmaAttach:
    """Raises LaneError if it is something else."""
    return _decode(_attach, Kind.ATTACH, data)


def encode_attached(body: RdmaAttached) -> bytes:
    return bytes([Kind.ATTACHED]) + _attached.dump_json(body)


def decode_attached(data: bytes) -> RdmaAttached:
    """Raises LaneError if it is something else."""
    return _decode(_attached, Kind.ATTACHED, data)


def check_card(card: ModelCard) -> None:
    """Raises LaneError if the card does not fit the messages or its name the slot header."""
    if len(card.name.encode()) > layout.MODEL_NAME_BYTES:
        raise LaneError(
            f"the model name {card.name!r} is longer than {layout.MODEL_NAME_BYTES} bytes: give it a shorter one"
        )
    encode(card)


def check_layout(asked: RdmaAttach) -> None:
    """Raises LaneError if the peer lays out memory in another way."""
    ours = asked.region
    pairs = (
        ("header version", asked.header_version, layout.VERSION),
        ("payload region, bytes", asked.payload_region_bytes, ours.payload_region_bytes),
        ("answer region, bytes", asked.answer_region_bytes, ours.answer_region_bytes),
        ("endpoint's answers, bytes", asked.answers.length_bytes, ours.answer_region_bytes),
    )
    for what, theirs, mine in pairs:
        if theirs != mine:
            raise LaneError(
                f"the two sides lay out slots differently ({what}: {theirs} there, {mine} here): "
                "install the same framegate version on both sides"
            )


def _decode(adapter: TypeAdapter[Body], kind: Kind, data: bytes) -> Body:
    if data[:1] != bytes([kind]):
        raise LaneError(f"the peer sent a message of kind {data[:1].hex() or 'none'} where {kind.name} belongs")
    try:
        return adapter.validate_json(data[1:])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise LaneError(f"the peer's {kind.name} cannot be read: {first['loc']}: {first['msg']}") from error
