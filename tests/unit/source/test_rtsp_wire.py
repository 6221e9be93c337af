"""The connection's byte stream, cut anywhere."""

from __future__ import annotations

import socket
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import SourceError
from pipelines.source.rtsp_wire import Wire

ANSWER = b"RTSP/1.0 200 OK\r\nCSeq: 4\r\nContent-Length: 3\r\n\r\n$ab"
REQUEST = b"ANNOUNCE rtsp://x/ RTSP/1.0\r\nCSeq: 1\r\n\r\n"


def interleaved(channel: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0x24, channel, len(data)) + data


class Connected:
    """A wire and the other end of its connection."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.wire = Wire()
            self.wire.connect("127.0.0.1", listener.getsockname()[1], None, time.monotonic() + 5)
            self.far, _ = listener.accept()
        self.taken: list[bytes] = []

    def close(self) -> None:
        self.wire.close()
        self.far.close()

    def read(self) -> None:
        self.wire.fill()
        self.part()

    def part(self) -> None:
        data, spans = self.wire.packets(0)
        self.taken += [bytes(data[start:end]) for start, end in spans]


@given(st.lists(st.sampled_from(["rtp", "rtcp", "answer", "request"]), max_size=12), st.integers(1, 40))
def test_packets_come_whole_however_the_stream_is_cut(kinds: list[str], size: int) -> None:
    pieces = {"rtcp": interleaved(1, b"report"), "answer": ANSWER, "request": REQUEST}
    sent = [pieces.get(kind) or interleaved(0, bytes([n]) * 30) for n, kind in enumerate(kinds)]
    wanted = [bytes([n]) * 30 for n, kind in enumerate(kinds) if kind == "rtp"]
    data = b"".join(sent)
    both = Connected()

    for at in range(0, len(data), size):
        both.far.sendall(data[at : at + size])
        both.read()

    assert both.taken == wanted
    both.close()


def test_an_answer_is_found_among_packets() -> None:
    both = Connected()
    both.far.sendall(interleaved(0, b"early") + ANSWER + interleaved(0, b"late"))

    answer = both.wire.answer(time.monotonic() + 5)
    both.part()

    assert (answer.status, answer.reason, answer.headers["cseq"], answer.body) == (200, "OK", "4", b"$ab")
    assert both.taken == [b"late"]
    both.close()


@pytest.mark.parametrize("data", [bytes(range(100, 256)), b"\x00" * 500, b"HTTP/1.1 200 OK\r\n" * 40], ids=repr)
def test_garbage_is_said_so(data: bytes) -> None:
    both = Connected()
    both.far.sendall(data)

    with pytest.raises(SourceError, match="no RTSP"):
        both.read()
    both.close()


def test_an_answer_without_end_is_not_kept() -> None:
    both = Connected()
    data = b"RTSP/1.0 200 OK\r\nX: " + b"x" * 300_000

    def read_all() -> None:
        for at in range(0, len(data), 10_000):
            both.far.sendall(data[at : at + 10_000])
            both.read()

    with pytest.raises(SourceError, match="no end"):
        read_all()
    both.close()


def test_the_end_of_the_connection() -> None:
    both = Connected()
    both.far.close()

    with pytest.raises(SourceError, match="closed the connection"):
        both.read()
    both.close()
