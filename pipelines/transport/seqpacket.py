"""Unix SOCK_SEQPACKET sockets in an event loop: whole messages, never blocking, end of file when the peer dies."""

from __future__ import annotations

import array
import asyncio
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

from pipelines.errors import LaneError
from pipelines.transport.message import MAX_MESSAGE_BYTES

_UCRED = struct.Struct("3i")
_MESSAGE_COST_BYTES = 1024
"""What the kernel charges the sender for a small unread message: 768 on x86-64; room for other machines."""
_SPARE_MESSAGES = 16
_MESSAGES_PER_CALL = 256
_BACKLOG = 64


def make_socket() -> socket.socket:
    """A non-blocking SOCK_SEQPACKET socket."""
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)


def listen(path: Path) -> socket.socket:
    """A listening socket at `path`, mode 0600, in place of whatever was there.

    Made beside it and renamed over it: so nobody connects before the mode is set, and a worker that hangs is replaced
    even though its own socket still accepts.

    Raises:
        LaneError: the path cannot be used.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    listener = make_socket()
    try:
        beside.unlink(missing_ok=True)
        listener.bind(str(beside))
        beside.chmod(0o600)
        listener.listen(_BACKLOG)
        beside.rename(path)
    except OSError as error:
        listener.close()
        raise LaneError(f"cannot listen on {path}: {error.strerror or error}") from error
    return listener


async def accept(listener: socket.socket) -> socket.socket:
    """The next connection, non-blocking; the caller closes it. Raises OSError as accept(2) does."""
    while True:
        await _readable(listener)
        try:
            sock, _ = listener.accept()
        except BlockingIOError:
            continue
        sock.setblocking(False)
        return sock


def unlink_own(path: Path, inode: int) -> None:
    """Remove our socket, not the one of a worker that took our place."""
    try:
        if path.stat().st_ino == inode:
            path.unlink()
    except FileNotFoundError:
        return


def check_peer(sock: socket.socket) -> None:
    """Raises LaneError unless the peer runs as this user or as root (SO_PEERCRED, unix(7))."""
    _, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    if uid not in (0, os.getuid()):
        raise LaneError(f"the peer runs as user {uid}, this side as {os.getuid()}: run both as the same user")


def size_send_buffer(sock: socket.socket, slots: int) -> None:
    """Make room for a doorbell of every slot, so that a stalled peer fills the ring before the socket.

    Raises:
        LaneError: the system does not allow that much.
    """
    wanted = (slots + _SPARE_MESSAGES) * _MESSAGE_COST_BYTES
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) < wanted:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, wanted)
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) < wanted:
        raise LaneError(f"a socket here does not hold {slots} doorbells: use fewer slots, or raise net.core.wmem_max")


def send(sock: socket.socket, message: bytes) -> bool:
    """One message. False: the socket is full, nothing was sent.

    Raises:
        LaneError: the peer is gone.
    """
    try:
        sock.send(message)
    except BlockingIOError:
        return False
    except OSError as error:
        raise LaneError(f"the peer is gone: {error}") from error
    return True


def send_with_files(sock: socket.socket, message: bytes, fds: list[int]) -> None:
    """One message with descriptors (SCM_RIGHTS). Raises LaneError if it cannot be sent now."""
    try:
        socket.send_fds(sock, [message], fds)
    except OSError as error:
        raise LaneError(f"the peer is gone: {error}") from error


async def receive(sock: socket.socket, timeout_s: float, max_fds: int = 0) -> tuple[bytes, list[int]]:
    """The next message and the descriptors with it, which are the caller's to close.

    Raises:
        LaneError: the peer is gone, silent, or sent a message that is too long.
    """
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                await _readable(sock)
                try:
                    data, fds, flags = _receive_with_files(sock, max_fds)
                    break
                except BlockingIOError:
                    continue
    except TimeoutError as error:
        raise LaneError(f"the peer said nothing for {timeout_s:g} s") from error
    except OSError as error:
        raise LaneError(f"the peer is gone: {error}") from error
    if not data or flags & socket.MSG_TRUNC:
        for fd in fds:
            os.close(fd)
        raise LaneError("the peer sent too long a message" if data else "the peer closed the connection")
    return data, fds


def receive_waiting(sock: socket.socket, buffer: bytearray, handle: Callable[[memoryview], None]) -> int:
    """Hand all waiting messages (at most 256, to be fair to others) to `handle`, each valid during the call only.

    Returns how many there were.

    A peer that died with unread messages of ours shows as ECONNRESET before what it sent: that is still read.

    Raises:
        LaneError: the peer is gone and all it had sent is handled.
    """
    view = memoryview(buffer)
    for count in range(_MESSAGES_PER_CALL):
        try:
            size = sock.recv_into(view)
        except BlockingIOError:
            return count
        except ConnectionResetError:
            continue
        except OSError as error:
            raise LaneError(f"the peer is gone: {error}") from error
        if size == 0:
            raise LaneError("the peer is gone")
        handle(view[:size])
    return _MESSAGES_PER_CALL


def _receive_with_files(sock: socket.socket, max_fds: int) -> tuple[bytes, list[int], int]:
    """socket.recv_fds, which ignores its flags (so that programs started later would inherit the descriptors)."""
    room = socket.CMSG_SPACE(max_fds * struct.calcsize("i")) if max_fds else 0
    data, ancillary, flags, _ = sock.recvmsg(MAX_MESSAGE_BYTES, room, socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    return data, list(fds), flags


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sock)
