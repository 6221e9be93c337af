"""Sockets: who may connect, what a full or dying one does."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.errors import LaneError
from pipelines.transport import seqpacket

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    here.setblocking(False)
    there.setblocking(False)
    with here, there:
        yield here, there


def received(sock: socket.socket) -> list[bytes]:
    out: list[bytes] = []
    seqpacket.receive_waiting(sock, bytearray(100), lambda data: out.append(bytes(data)))
    return out


def test_messages_keep_their_borders(pair: Pair) -> None:
    for message in (b"one", b"two!", b"three"):
        assert seqpacket.send(pair[0], message)
    assert received(pair[1]) == [b"one", b"two!", b"three"]
    assert received(pair[1]) == []


def test_a_full_socket_says_so_and_loses_nothing(pair: Pair) -> None:
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 0)
    sent = 0
    while seqpacket.send(pair[0], b"x" * 12):
        sent += 1
    assert 0 < sent < 50
    assert len(received(pair[1])) == sent
    assert seqpacket.send(pair[0], b"again")


@pytest.mark.parametrize("slots", [1, 32, 1024])
def test_a_sized_socket_holds_a_doorbell_of_every_slot(pair: Pair, slots: int) -> None:
    try:
        seqpacket.size_send_buffer(pair[0], slots)
    except LaneError as error:
        pytest.skip(f"this machine's limit is too low for {slots} slots: {error}")
    assert all(seqpacket.send(pair[0], b"x" * 12) for _ in range(slots + 4))


def test_more_slots_than_a_socket_can_hold_are_refused(pair: Pair) -> None:
    with pytest.raises(LaneError, match=r"use fewer slots, or raise net\.core\.wmem_max"):
        seqpacket.size_send_buffer(pair[0], 1_000_000)


def test_what_a_dead_peer_said_is_still_heard(pair: Pair) -> None:
    """Even if it died with our messages unread, which the kernel reports first (ECONNRESET)."""
    seqpacket.send(pair[0], b"unread")
    seqpacket.send(pair[1], b"last words")
    pair[1].close()
    heard: list[bytes] = []
    with pytest.raises(LaneError, match="the peer is gone"):
        seqpacket.receive_waiting(pair[0], bytearray(100), lambda data: heard.append(bytes(data)))
    assert heard == [b"last words"]
    with pytest.raises(LaneError, match="the peer is gone"):
        seqpacket.send(pair[0], b"x")


async def test_receive_is_patient_and_not_for_ever(pair: Pair) -> None:
    asyncio.get_running_loop().call_soon(pair[1].send, b"hello")
    assert await seqpacket.receive(pair[0], 5) == (b"hello", [])
    with pytest.raises(LaneError, match=r"said nothing for 0.01 s"):
        await seqpacket.receive(pair[0], 0.01)
    pair[1].close()
    with pytest.raises(LaneError, match="closed the connection"):
        await seqpacket.receive(pair[0], 5)


async def test_descriptors_arrive_closed_on_exec(pair: Pair) -> None:
    fd = os.memfd_create("x")
    seqpacket.send_with_files(pair[1], b"take", [fd])
    os.close(fd)
    _, [got] = await seqpacket.receive(pair[0], 5, max_fds=2)
    assert not os.get_inheritable(got)
    os.close(got)


class Peer(socket.socket):
    """A socket whose peer runs as `uid`."""

    uid = 0

    def getsockopt(self, *_: object) -> bytes:  # type: ignore[override]
        return struct.pack("3i", 1, self.uid, 1)


def test_only_the_same_user_or_root_may_be_at_the_other_end(pair: Pair) -> None:
    seqpacket.check_peer(pair[0])
    with Peer() as peer:
        seqpacket.check_peer(peer)
        peer.uid = os.getuid() + 4242
        with pytest.raises(LaneError, match=f"user {peer.uid}, this side as {os.getuid()}"):
            seqpacket.check_peer(peer)


def test_the_path_is_private_and_taken_over(tmp_path: Path) -> None:
    """A worker that hangs is replaced by name, and its own end does not take the new name away."""
    path = tmp_path / "worker.sock"
    with seqpacket.listen(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        old = path.stat().st_ino
        with seqpacket.listen(path):
            seqpacket.unlink_own(path, old)
            with seqpacket.make_socket() as client:
                client.connect(str(path))
            seqpacket.unlink_own(path, path.stat().st_ino)
    assert list(tmp_path.iterdir()) == []
    seqpacket.unlink_own(path, old)


def test_a_path_that_cannot_be_listened_on_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing" / "worker.sock", tmp_path / ("x" * 120)):
        with pytest.raises(LaneError, match=f"cannot listen on {path}"):
            seqpacket.listen(path)
