"""Ends a call into libav that another thread is blocked in, by shutting down the very socket it waits on.

libav's own way out, an interrupt callback, takes the GIL at each poll in PyAV (PyAV#1112), and its timeouts restart
with each byte: a server that drips one byte per second blocks a read for ever. So another thread must act, and must
find the right socket among those of all cameras. Comparing /proc/self/fd before and after an open cannot tell apart two
cameras that open at once, nor see a socket that libav opens later (a redirect). What does tell is the kernel:
/proc/self/task/TID/syscall gives the system call a thread is blocked in with its arguments, the file descriptor among
them or, for poll, the address of an array of them in our own memory.

Never another camera's socket: between look and shutdown the thread may go on, close the socket, and its number be given
to another. So the socket is pinned first (`dup`), then looked at again: only if the thread is *still* blocked on that
number, the number still means the pinned socket, and the thread is still inside the same call into libav, is the pinned
one shut down.

Sources: proc(5), Linux's system call tables of x86-64 and arm64. On another system `available()` is False, and
a blocked call ends by libav's timeouts only.
"""

from __future__ import annotations

import contextlib
import os
import platform
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator

_POLLS = {"x86_64": {7, 271}, "aarch64": {73}}
"""poll and ppoll: (struct pollfd *fds, nfds, ...)."""
_DIRECT = {
    "x86_64": {0, 1, 42, 44, 45, 46, 47},  # read write connect sendto recvfrom sendmsg recvmsg
    "aarch64": {63, 64, 203, 206, 207, 211, 212},
}
"""Calls whose first argument is the descriptor."""
_POLLFD = struct.Struct("=ihh")
_MOST_FDS = 64
"""libav polls a handful; a longer array is not one of its own."""
_RETRY_S = 0.01
_GIVE_UP_S = 5.0
"""After this long inside one call without being caught waiting, the thread computes: it is not blocked on a socket."""


def available() -> bool:
    """Can this system say what a thread waits on?"""
    return platform.machine() in _POLLS and os.path.exists(f"/proc/self/task/{threading.get_native_id()}/syscall")


class Interruptible:
    """The calls of one stream into libav. `call` in the stream's thread, `interrupt` in any."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._thread: int | None = None
        self._calls = 0
        self._helper: threading.Thread | None = None
        self.interrupted = False
        """For good: an interrupted stream is closed, not used again."""

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """Around each call that may block. Check `interrupted` inside, before blocking, and after."""
        with self._lock:
            self._calls += 1
            self._thread = threading.get_native_id()
        try:
            yield
        finally:
            with self._lock:
                self._thread = None

    def interrupt(self) -> None:
        """End the current call, if there is one, and forbid further ones. Returns at once: a helper thread does it."""
        self.interrupted = True
        with self._lock:
            if self._thread is None or (self._helper is not None and self._helper.is_alive()):
                return
            self._helper = threading.Thread(target=self._cut, name=f"interrupt[{self._name}]", daemon=True)
            self._helper.start()

    def _cut(self) -> None:
        """Shut down what the thread waits on until it is out of libav: after one socket fails libav may try another."""
        deadline = time.monotonic() + _GIVE_UP_S
        while time.monotonic() < deadline:
            with self._lock:
                thread, calls = self._thread, self._calls
            if thread is None:
                return
            for fd in waits_on(thread):
                self._shut_down(fd, thread, calls)
            time.sleep(_RETRY_S)

    def _shut_down(self, fd: int, thread: int, calls: int) -> None:
        with contextlib.suppress(OSError), _pinned(fd) as pinned:
            if fd not in waits_on(thread) or os.fstat(fd).st_ino != os.fstat(pinned.fileno()).st_ino:
                return
            with self._lock:
                if (self._thread, self._calls) == (thread, calls):
                    pinned.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def _pinned(fd: int) -> Iterator[socket.socket]:
    """A second descriptor of an internet socket. Raises OSError if it is something else."""
    with socket.socket(fileno=os.dup(fd)) as pinned:
        if pinned.family not in (socket.AF_INET, socket.AF_INET6):
            raise OSError(f"descriptor {fd} is not an internet socket")
        yield pinned


def waits_on(thread: int) -> list[int]:
    """Descriptors the thread with this native id is blocked on at this moment; empty if it runs, or waits otherwise."""
    try:
        with open(f"/proc/self/task/{thread}/syscall", "rb") as file:
            words = file.read().split()
        call, args = int(words[0]), [int(word, 16) for word in words[1:3]]
    except (OSError, ValueError, IndexError):
        return []  # gone, or "running"
    machine = platform.machine()
    if call in _DIRECT.get(machine, ()):
        return [args[0]]
    if call in _POLLS.get(machine, ()) and args[1] <= _MOST_FDS:
        with contextlib.suppress(OSError):
            return _polled(*args)
    return []


def _polled(address: int, count: int) -> list[int]:
    """Descriptors in a struct pollfd array of our own memory.

    Read through the kernel, not by pointer: the thread may have gone on and its stack been unmapped.
    """
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        raw = os.pread(memory.fileno(), _POLLFD.size * count, address)
    whole = raw[: len(raw) // _POLLFD.size * _POLLFD.size]
    return [fd for fd, events, _ in _POLLFD.iter_unpack(whole) if fd >= 0 and events & (select.POLLIN | select.POLLOUT)]
