"""How a DPU process and a worker agree on a lane: both halves, side by side.

worker                                   DPU process
listens on the path
                                         connects; both check the other's user (SO_PEERCRED)
WELCOME  version, card, most slots  -->
                                    <--  ATTACH  version, epoch, slots, sizes, two memfds
ATTACHED, or REFUSED with a reason  -->
"""

from __future__ import annotations

import socket
import time

from pipelines.errors import LaneError
from pipelines.transport import memory, seqpacket
from pipelines.transport.message import (
    VERSION,
    Attach,
    Kind,
    Refused,
    Welcome,
    decode_attach,
    decode_refused,
    decode_welcome,
    encode,
    parse_signal,
    signal,
)
from pipelines.transport.options import LaneOptions
from pipelines.transport.region import RegionLayout
from pipelines.transport.writer import LaneMemory
from pipelines.values import ModelCard


async def attach(sock: socket.socket, options: LaneOptions) -> tuple[ModelCard, LaneMemory]:
    """The DPU's half, on a connected socket: the worker's card and the memory of a new epoch.

    The epoch is the monotonic clock: no two attaches of this host share one, and later ones are greater.

    Raises:
        LaneError: refused by either side, with the reason; or the worker is gone.
    """
    seqpacket.check_peer(sock)
    welcome = decode_welcome(await _reply(sock, options))
    card, epoch = welcome.card, time.monotonic_ns()
    slots = min(options.slots, welcome.max_slots)
    if slots <= options.reserved_high + options.reserved_normal:
        raise LaneError(f"the worker allows {welcome.max_slots} slots, not more than are reserved for priorities")
    seqpacket.size_send_buffer(sock, slots)
    layout = RegionLayout(slots, card.payload_bytes, card.top_k)
    mapped, fds = memory.create(layout, epoch)
    try:
        message = Attach(VERSION, epoch, slots, layout.payload_bytes, layout.top_k)
        seqpacket.send_with_files(sock, encode(message), fds)
    finally:
        memory.close(fds)
    reply = await _reply(sock, options)
    if parse_signal(reply)[0] != Kind.ATTACHED:
        raise LaneError(f"the worker sent a message of kind {reply[0]} where ATTACHED belongs")
    return card, mapped


async def accept(sock: socket.socket, card: ModelCard, options: LaneOptions) -> LaneMemory:
    """The worker's half, on an accepted socket: the lane's memory. ATTACHED is the caller's to send, when it is ready.

    Raises:
        LaneError: the peer was refused (and told why), or is gone.
    """
    try:
        seqpacket.check_peer(sock)
        seqpacket.send(sock, encode(Welcome(VERSION, card, options.max_slots)))
        data, fds = await seqpacket.receive(sock, options.attach_timeout_s, max_fds=2)
        try:
            asked = decode_attach(data)
            _check(asked, card, options)
            seqpacket.size_send_buffer(sock, asked.slots)
            return memory.map_received(RegionLayout(asked.slots, asked.payload_bytes, asked.top_k), asked.epoch, fds)
        finally:
            memory.close(fds)
    except LaneError as error:
        refuse(sock, str(error))
        raise


def refuse(sock: socket.socket, reason: str) -> None:
    """Tell the peer why, if it still listens."""
    try:
        seqpacket.send(sock, encode(Refused(reason)))
    except LaneError:
        return


def confirm(sock: socket.socket) -> None:
    """The lane stands. Raises LaneError if the peer is gone."""
    seqpacket.send(sock, signal(Kind.ATTACHED))


async def _reply(sock: socket.socket, options: LaneOptions) -> bytes:
    reply, _ = await seqpacket.receive(sock, options.attach_timeout_s)
    if reply[0] == Kind.REFUSED:
        raise LaneError(f"the worker refused: {decode_refused(reply).reason}")
    return reply


def _check(asked: Attach, card: ModelCard, options: LaneOptions) -> None:
    if not 1 <= asked.slots <= options.max_slots:
        raise LaneError(f"{asked.slots} slots asked for; this worker allows 1..{options.max_slots} (lane.max_slots)")
    if (asked.payload_bytes, asked.top_k) != (card.payload_bytes, card.top_k):
        raise LaneError(
            f"slots of {asked.payload_bytes} bytes and {asked.top_k} rows do not fit model {card.name}: "
            f"{card.payload_bytes} bytes, {card.top_k} rows"
        )
