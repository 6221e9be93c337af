"""What the two ends of a shared-memory lane say to each other. Pure: bytes to values and back.

One message per packet of a Unix SOCK_SEQPACKET socket; the first byte is its kind.

| kind | from | content |
|------|------|---------|
| WELCOME   | worker | JSON: protocol version, model card, most slots |
| ATTACH    | DPU    | JSON: protocol version, epoch, slots, payload bytes, top_k; with two file descriptors |
| ATTACHED  | worker | - |
| REFUSED   | worker | JSON: reason, a sentence; the connection ends |
| PUBLISHED | DPU    | one (slot, generation) or several |
| ANSWERED  | worker | one (slot, generation) or several |
| PING      | DPU    | - |
| PONG      | worker | - |
| DRAIN     | worker | takes no new lanes; send no more, fetch your answers and go |
| CARD      | worker | JSON: the model was replaced by this one; finish and attach again |

All but the JSON ones are kind, 3 bytes 0, and pairs of u32 slot, u32 generation, little-endian: 12 bytes with one pair,
8 more for each further one. Notices of several slots travel in one message: the peer wakes once for all of them.
A version is the protocol's and covers the slot layout too; both ends must have the same.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from pipelines.errors import LaneError
from pipelines.values import ModelCard

VERSION = 2
MAX_MESSAGE_BYTES = 65_536
_DOORBELL = struct.Struct("<B3xII")
_KIND_BYTES, _PAIR_BYTES = 4, 8
_PAIR = struct.Struct("<II")
MAX_PAIRS = (MAX_MESSAGE_BYTES - _KIND_BYTES) // _PAIR_BYTES


class Kind(IntEnum):
    WELCOME = 1
    ATTACH = 2
    ATTACHED = 3
    REFUSED = 4
    CARD = 5
    PUBLISHED = 16
    ANSWERED = 17
    PING = 18
    PONG = 19
    DRAIN = 20


@dataclass(frozen=True, slots=True)
class Welcome:
    version: int
    card: ModelCard
    max_slots: int


@dataclass(frozen=True, slots=True)
class Attach:
    version: int
    epoch: int
    slots: int
    payload_bytes: int
    top_k: int


@dataclass(frozen=True, slots=True)
class Refused:
    reason: str


@dataclass(frozen=True, slots=True)
class Hello:
    """The part of a WELCOME or ATTACH that every version, past and future, has."""

    version: int


Body = TypeVar("Body", Welcome, Attach, Refused, ModelCard)

_hello = TypeAdapter(Hello)
_welcome, _attach, _refused, _card = (
    TypeAdapter(Welcome),
    TypeAdapter(Attach),
    TypeAdapter(Refused),
    TypeAdapter(ModelCard),
)


def signal(kind: Kind, slot: int = 0, generation: int = 0) -> bytes:
    """A 12-byte message: one pair."""
    return _DOORBELL.pack(kind, slot, generation)


def signals(kind: Kind, pairs: Sequence[tuple[int, int]]) -> bytes:
    """One message for 1..MAX_PAIRS pairs of (slot, generation)."""
    return b"".join((_DOORBELL.pack(kind, *pairs[0]), *(_PAIR.pack(*pair) for pair in pairs[1:])))


def parse_signal(data: bytes | memoryview) -> tuple[int, int, int]:
    """(kind, slot, generation) of a 12-byte message. About 0.2 us.

    Raises:
        LaneError: it is not one.
    """
    if len(data) != _DOORBELL.size:
        raise LaneError(f"the peer sent {len(data)} bytes where a {_DOORBELL.size}-byte message belongs")
    kind, slot, generation = _DOORBELL.unpack(data)
    return kind, slot, generation


def parse_signals(data: bytes | memoryview) -> tuple[int, Iterator[tuple[int, int]]]:
    """The kind and the (slot, generation) pairs of a message of at least one; read them while `data` is valid.

    Raises:
        LaneError: it is not such a message.
    """
    if len(data) < _DOORBELL.size or (len(data) - _KIND_BYTES) % _PAIR_BYTES:
        raise LaneError(f"the peer sent {len(data)} bytes where a message of 4 + n * 8 bytes belongs")
    return data[0], cast("Iterator[tuple[int, int]]", _PAIR.iter_unpack(data[_KIND_BYTES:]))


def encode(body: Welcome | Attach | Refused | ModelCard) -> bytes:
    """A JSON message with its kind in front.

    Raises:
        LaneError: it is longer than a message may be (a model with thousands of class names).
    """
    match body:
        case Welcome():
            data = bytes([Kind.WELCOME]) + _welcome.dump_json(body)
        case Attach():
            data = bytes([Kind.ATTACH]) + _attach.dump_json(body)
        case Refused():
            data = bytes([Kind.REFUSED]) + _refused.dump_json(body)
        case ModelCard():
            data = bytes([Kind.CARD]) + _card.dump_json(body)
    if len(data) > MAX_MESSAGE_BYTES:
        raise LaneError(f"a message of {len(data)} bytes does not fit {MAX_MESSAGE_BYTES}: too many class names?")
    return data


def decode_welcome(data: bytes) -> Welcome:
    """Raises LaneError if it is something else, or of another version."""
    _check_version(data, "worker")
    return _decode(_welcome, Kind.WELCOME, data)


def decode_attach(data: bytes) -> Attach:
    """Raises LaneError if it is something else, or of another version."""
    _check_version(data, "DPU process")
    return _decode(_attach, Kind.ATTACH, data)


def decode_refused(data: bytes) -> Refused:
    """Raises LaneError if it is something else."""
    return _decode(_refused, Kind.REFUSED, data)


def decode_card(data: bytes) -> ModelCard:
    """Raises LaneError if it is something else."""
    return _decode(_card, Kind.CARD, data)


def _decode(adapter: TypeAdapter[Body], kind: Kind, data: bytes) -> Body:
    if data[:1] != bytes([kind]):
        raise LaneError(f"the peer sent a message of kind {data[:1].hex() or 'none'} where {kind.name} belongs")
    try:
        return adapter.validate_json(data[1:])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise LaneError(f"the peer's {kind.name} cannot be read: {first['loc']}: {first['msg']}") from error


def _check_version(data: bytes, peer: str) -> None:
    try:
        version = _hello.validate_json(data[1:]).version
    except ValidationError as error:
        raise LaneError(f"the {peer} does not speak this protocol: {data[:40]!r}") from error
    if version != VERSION:
        raise LaneError(
            f"the {peer} speaks version {version} of the lane protocol, this side version {VERSION}: "
            "install the same framegate version on both sides"
        )
