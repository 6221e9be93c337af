from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable

import pytest

from pipelines.source import interrupt
from pipelines.source.interrupt import Interruptible, waits_on

pytestmark = pytest.mark.skipif(not interrupt.available(), reason="this system does not say what a thread waits on")


class Blocked:
    """A thread blocked in a system call on one end of a connection."""

    def __init__(self, block: Callable[[socket.socket], object]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.near = socket.create_connection(listener.getsockname())
            self.far, _ = listener.accept()
        self.guard = Interruptible("test")
        self.entered = threading.Event()
        self.tid = 0
        self._block = block
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        self.entered.wait()

    def _run(self) -> None:
        self.tid = threading.get_native_id()
        with self.guard.call():
            self.entered.set()
            self._block(self.near)

    def until_blocked(self) -> list[int]:
        while not (fds := waits_on(self.tid)):
            assert self.thread.is_alive()
        return fds

    def close(self) -> None:
        self.far.close()
        self.thread.join()
        self.near.close()


def poll(connection: socket.socket) -> object:
    """As libav does: poll with a timeout, again and again."""
    import select

    poller = select.poll()
    poller.register(connection, select.POLLIN)
    while not poller.poll(100):
        pass
    return None


BLOCKS: dict[str, Callable[[socket.socket], object]] = {
    "recv": lambda connection: connection.recv(1),
    "poll": poll,
    "read": lambda connection: os.read(connection.fileno(), 1),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_sees_what_a_thread_waits_on(name: str) -> None:
    blocked = Blocked(BLOCKS[name])

    assert blocked.until_blocked() == [blocked.near.fileno()]
    blocked.close()


@pytest.mark.parametrize("name", BLOCKS)
def test_ends_the_wait_of_this_thread_and_of_no_other(name: str) -> None:
    victim, bystander = Blocked(BLOCKS[name]), Blocked(BLOCKS[name])
    bystander.until_blocked()

    victim.guard.interrupt()
    victim.thread.join(1)

    assert not victim.thread.is_alive()
    assert bystander.thread.is_alive()
    bystander.near.sendall(b"still open")
    assert bystander.far.recv(10) == b"still open"
    victim.close()
    bystander.close()


def test_a_thread_outside_a_call_is_left_alone() -> None:
    """It may wait on a socket of its own affairs."""
    blocked = Blocked(BLOCKS["recv"])
    guard = Interruptible("other")

    guard.interrupt()

    assert guard.interrupted
    assert blocked.thread.is_alive()
    assert not [t for t in threading.enumerate() if t.name == "interrupt[other]"]
    blocked.close()


def test_a_socket_whose_number_was_reused_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between look and shutdown the thread closed its socket, and another camera's got the number."""
    victim = Blocked(BLOCKS["poll"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        other = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
    looks: list[int] = []

    def look(_thread: int) -> list[int]:
        looks.append(len(looks))
        if len(looks) == 2:
            os.dup2(other.fileno(), victim.near.fileno())
        return [victim.near.fileno()] if len(looks) <= 2 else []

    monkeypatch.setattr(interrupt, "waits_on", look)
    victim.guard.interrupt()
    while len(looks) < 3:
        pass

    other.sendall(b"whole")
    assert peer.recv(5) == b"whole"
    peer.close()
    other.close()
    victim.far.close()
    victim.thread.join()
    victim.near.close()


def test_pipes_are_no_cameras() -> None:
    """Only internet sockets are shut down."""
    near, far = socket.socketpair()
    guard = Interruptible("pair")
    entered = threading.Event()

    def run() -> None:
        with guard.call():
            entered.set()
            near.recv(1)

    thread = threading.Thread(target=run)
    thread.start()
    entered.wait()
    guard.interrupt()
    thread.join(0.05)

    assert thread.is_alive()
    far.send(b"x")
    thread.join()
    near.close()
    far.close()


def test_gone_threads_wait_on_nothing() -> None:
    assert waits_on(2**22 + 1) == []
