"""How the two ends of an RDMA lane prove that they share a secret, on the TCP connection beside it. Pure.

worker                                         DPU process
HELLO  magic, version, 32 random bytes   -->
                                         <--   HELLO  magic, version, 32 random bytes
        both: key = HMAC(secret, "framegate rdma lane" + worker's hello + DPU's hello)
                                         <--   sealed PROOF: only now the worker says what it serves
sealed WELCOME ... (rdma_message.py)     -->

A sealed frame is u32 length (of what follows), 32 bytes HMAC-SHA256(key, sender + number + body), body; the number
counts the frames of its sender from 0. So nothing can be forged, changed, left out, repeated or turned round, within a
connection or from an older one; it can be read. The secret itself never travels.

What this does not guard is the RDMA traffic: whoever can send packets with the right queue pair number, keys and
sequence numbers can write. The network between DPU and worker must be one that others cannot send to (docs/rdma.md).
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass
from enum import Enum

from pipelines.errors import LaneError

MAGIC = b"FGRD"
VERSION = 1
NONCE_BYTES = 32
HELLO_BYTES = 4 + 2 + 2 + NONCE_BYTES
TAG_BYTES = 32
_HELLO = struct.Struct(f"<4sHH{NONCE_BYTES}s")
_NUMBER = struct.Struct("<Q")
LENGTH = struct.Struct("<I")
MAX_BODY_BYTES = 65_536
_CONTEXT = b"framegate rdma lane"


class Side(Enum):
    """Who seals; goes into the tag, so that no frame can be sent back to its sender."""

    WORKER = b"worker"
    DPU = b"dpu"

    @property
    def peer(self) -> Side:
        return Side.DPU if self is Side.WORKER else Side.WORKER


def pack_hello(nonce: bytes) -> bytes:
    return _HELLO.pack(MAGIC, VERSION, 0, nonce)


def check_hello(data: bytes, peer: str) -> None:
    """Raises LaneError unless it is a hello of our version."""
    magic, version, _, _ = _HELLO.unpack(data)
    if magic != MAGIC:
        raise LaneError(f"the {peer} does not speak this protocol: {data[:8]!r}")
    if version != VERSION:
        raise LaneError(
            f"the {peer} speaks version {version} of the RDMA lane protocol, this side version {VERSION}: "
            "install the same framegate version on both sides"
        )


def session_key(secret: bytes, worker_hello: bytes, dpu_hello: bytes) -> bytes:
    """Of one connection: nonces make it a fresh one each time."""
    return hmac.digest(secret, _CONTEXT + worker_hello + dpu_hello, "sha256")


@dataclass(slots=True)
class Seal:
    """One end of an authenticated connection: seals what it says, opens what it hears."""

    key: bytes
    side: Side
    _sent: int = 0
    _heard: int = 0

    def close(self, body: bytes) -> bytes:
        """The next frame to send.

        Raises:
            LaneError: it is longer than a frame may be.
        """
        if len(body) > MAX_BODY_BYTES:
            raise LaneError(f"a message of {len(body)} bytes does not fit {MAX_BODY_BYTES}")
        tag = self._tag(self.side, self._sent, body)
        self._sent += 1
        return LENGTH.pack(TAG_BYTES + len(body)) + tag + body

    def open(self, frame: bytes) -> bytes:
        """The body of the next frame heard, given without its length.

        Raises:
            LaneError: it is not what the peer sealed next.
        """
        tag, body = frame[:TAG_BYTES], frame[TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(self.side.peer, self._heard, body)):
            raise LaneError("a message is not sealed with our secret: lane.rdma.secret must be the same on both sides")
        self._heard += 1
        return body

    def _tag(self, side: Side, number: int, body: bytes) -> bytes:
        return hmac.digest(self.key, side.value + _NUMBER.pack(number) + body, "sha256")


def body_bytes(length: bytes) -> int:
    """How many bytes follow a frame's length.

    Raises:
        LaneError: no frame is that long or short.
    """
    size: int = LENGTH.unpack(length)[0]
    if not TAG_BYTES <= size <= TAG_BYTES + MAX_BODY_BYTES:
        raise LaneError(f"the peer announces a message of {size} bytes")
    return size
