"""One RTSP connection over TCP or TLS: requests, answers, and the RTP packets between them (RFC 2326 10.12).

Reads as much as the kernel has, then parts it: a picture of a dozen RTP packets costs one system call, where a reader
that asks for each packet's head and body in turn makes some seventy. Blocking; one thread, but for `interrupt`.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipelines.errors import SourceError

_BUFFER_BYTES = 256 * 1024
_MOST_ANSWER_BYTES = 128 * 1024
_INTERLEAVED = 0x24
_HEAD_BYTES = 4


Span = tuple[int, int]
"""From the first byte to behind the last."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    status: int
    reason: str
    headers: Mapping[str, str]
    """Names in lower case; of repeated ones the last."""
    challenges: tuple[str, ...]
    """All WWW-Authenticate lines."""
    body: bytes


class Wire:
    """A connected socket and what was read from it. `interrupt` from any thread."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._begin = self._end = 0
        self.interrupted = False

    def connect(self, host: str, port: int, tls: ssl.SSLContext | None, deadline_s: float) -> None:
        """Raises OSError (ssl.SSLError among them)."""
        error: OSError = OSError(f"no address for {host}")
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            self._socket = plain = socket.socket(family, kind, protocol)
            try:
                self.timeout(deadline_s)
                plain.connect(address)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if tls is not None:
                    self._socket = tls.wrap_socket(plain, server_hostname=host)
                return
            except OSError as caught:
                error = caught
                self.close()
                if self.interrupted:
                    break
        raise error

    def timeout(self, deadline_s: float) -> None:
        """No call blocks beyond this moment of the monotonic clock. Raises SourceError when it has passed."""
        left_s = deadline_s - time.monotonic()
        if self.interrupted or left_s <= 0:
            raise SourceError("interrupted" if self.interrupted else "timed out")
        self.silence(left_s)

    def silence(self, seconds: float) -> None:
        """A call fails after so much silence."""
        if self._socket is not None:
            self._socket.settimeout(seconds)

    def send(self, data: bytes) -> None:
        if self._socket is None:
            raise SourceError("the connection is closed")
        self._socket.sendall(data)

    def interrupt(self) -> None:
        """End what the connection's thread is blocked in, for good. Any thread; `self._socket` is read once."""
        self.interrupted = True
        connected = self._socket
        if connected is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(
                    connected, socket.SHUT_RDWR
                )  # not TLS's own, which would wait for the other side

    def close(self) -> None:
        connected, self._socket = self._socket, None
        if connected is not None:
            connected.close()

    def fill(self) -> None:
        """Wait for bytes and take what there is. Raises OSError, TimeoutError, SourceError at the end."""
        if self._socket is None:
            raise SourceError("the connection is closed")
        if self._begin == self._end:
            self._begin = self._end = 0
        elif self._end > _BUFFER_BYTES // 2:
            self._buffer[: self._end - self._begin] = self._buffer[self._begin : self._end]
            self._begin, self._end = 0, self._end - self._begin
        count = self._socket.recv_into(self._view[self._end :])
        if not count:
            raise SourceError("interrupted" if self.interrupted else "the camera closed the connection")
        self._end += count

    def packets(self, channel: int, hear: Callable[[Answer], None] = lambda _: None) -> tuple[memoryview, list[Span]]:
        """Part all that was read; what is neither RTP of this channel nor an answer is dropped.

        Args:
            hear: Called with each answer: to a keep-alive.

        Returns:
            The bytes, valid until the next call of anything here, and where in them the RTP packets lie.

        Raises:
            SourceError: what follows is neither; the packets before it are returned first.
        """
        buffer, at, end = self._buffer, self._begin, self._end
        spans: list[Span] = []
        while at + _HEAD_BYTES <= end:
            if buffer[at] != _INTERLEAVED:
                self._begin = at
                try:
                    answer = self._answer()
                except SourceError:
                    if spans:
                        break
                    raise
                if answer is None:
                    break
                hear(answer)
                at = self._begin
                continue
            after = at + _HEAD_BYTES + (buffer[at + 2] << 8 | buffer[at + 3])
            if after > end:
                break
            if buffer[at + 1] == channel:
                spans.append((at + _HEAD_BYTES, after))
            at = after
        self._begin = at
        return self._view, spans

    def answer(self, deadline_s: float) -> Answer:
        """The next answer; packets before it are dropped."""
        while True:
            found: Answer | None = None
            while self._end - self._begin >= _HEAD_BYTES:
                if self._buffer[self._begin] != _INTERLEAVED:
                    found = self._answer()
                    break
                after = self._begin + _HEAD_BYTES + int.from_bytes(self._view[self._begin + 2 : self._begin + 4], "big")
                if after > self._end:
                    break
                self._begin = after
            if found is not None:
                return found
            self.timeout(deadline_s)
            self.fill()

    def _answer(self) -> Answer | None:
        """Take one message that is not interleaved data; None: it is not whole yet."""
        text = bytes(self._view[self._begin : min(self._end, self._begin + _MOST_ANSWER_BYTES)])
        head, blank, rest = text.lstrip(b"\r\n").partition(b"\r\n\r\n")
        if head and not _is_message(head):
            raise SourceError("the camera sends what is no RTSP")
        if not blank:
            if len(text) >= _MOST_ANSWER_BYTES:
                raise SourceError("the camera's answer has no end")
            return None
        lines = head.decode("utf-8", "replace").split("\r\n")
        pairs = [
            (name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])
        ]
        headers = dict(pairs)
        length = int(headers["content-length"]) if headers.get("content-length", "").isdecimal() else 0
        if length > _MOST_ANSWER_BYTES - len(head):
            raise SourceError("the camera's answer is too long")
        if len(rest) < length:
            return None
        self._begin += len(text) - len(rest) + length
        _, status, reason = [*lines[0].split(" ", 2), "", ""][:3]
        challenges = tuple(value for name, value in pairs if name == "www-authenticate")
        return Answer(int(status) if status.isdecimal() else 0, reason, headers, challenges, rest[:length])


def _is_message(head: bytes) -> bool:
    """An answer, or a request of the server's; both are short lines of text that name the protocol."""
    first = head[:400].partition(b"\r\n")[0]
    return first.startswith(b"RTSP/"[: len(first)]) or (first.isascii() and (b"RTSP/" in first or len(head) < 400))
