"""Cameras that misbehave, each in its own way: `read` and `open` end in the configured time, and when interrupted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pipelines.accounting import Ledger
from pipelines.errors import SourceError
from pipelines.source.rtsp import RtspOptions, RtspSource
from pipelines.source.watch import StreamWatch, WatchOptions
from pipelines.values import CameraState, Frame
from tests.fakes.rtsp_cameras import read_until_error
from tests.fakes.rtsp_server import After, Reply, RtspServer, Session, response

OPEN_S, READ_S = 0.8, 0.5
OPTIONS = RtspOptions(open_timeout_s=OPEN_S, read_timeout_s=READ_S, probe_s=0.2)
SLACK_S = 1.0
LONG = RtspOptions(open_timeout_s=60, read_timeout_s=60, probe_s=0.2)
"""No timeout of its own helps: only the interrupt does."""


def accepts_and_never_answers(session: Session, _method: str, _cseq: str) -> bytes:
    session.server.closing.wait()
    return b""


def drips_the_description(session: Session, method: str, cseq: str) -> bytes | None:
    if method == "DESCRIBE":
        session.drip(f"RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nX: ".encode() + b"x" * 10_000)
    return None


def says(status: str) -> Reply:
    return lambda _session, method, cseq: response(cseq, status=status) if method == "DESCRIBE" else None


def garbage(_session: Session, _method: str, _cseq: str) -> bytes:
    return bytes(range(128, 256)) * 100


def silent(session: Session) -> None:
    session.server.closing.wait()


def drips_packets(session: Session) -> None:
    session.drip(b"$\x00\xff\xff" + b"x" * 10_000)


def sends_garbage(session: Session) -> None:
    session.connection.sendall(bytes(range(100, 256)) * 1000)


def hangs_up(session: Session) -> None:
    session.hang_up()


BAD_OPENS: dict[str, Reply] = {
    "accepts and never answers": accepts_and_never_answers,
    "drips the description": drips_the_description,
    "garbage": garbage,
    "401": says("401 Unauthorized"),
    "404": says("404 Not Found"),
}
BAD_READS: dict[str, After] = {"silent": silent, "garbage": sends_garbage, "hangs up": hangs_up}
BLOCKED_READS: dict[str, After] = {"silent": silent, "drips packets": drips_packets}


@contextmanager
def took_less_than(seconds: float) -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


@contextmanager
def interrupted_when_blocked(interrupt: Callable[[], None], ready: threading.Event) -> Iterator[None]:
    """Interrupt from another thread shortly after `ready`; the body must end within a second of that."""
    fired: list[float] = []

    def fire() -> None:
        ready.wait(10)
        threading.Event().wait(0.1)  # let it block; too early is no error, only a lesser test
        fired.append(time.monotonic())
        interrupt()

    thread = threading.Thread(target=fire)
    thread.start()
    yield
    ended = time.monotonic()
    thread.join()
    assert ended - fired[0] < 1.0


@pytest.mark.parametrize("name", BAD_OPENS)
def test_open_fails_in_time(name: str) -> None:
    with RtspServer(BAD_OPENS[name]) as server, took_less_than(OPEN_S + SLACK_S):
        source = RtspSource(server.url(userinfo="joe:canary%21pw@"), Ledger(), OPTIONS)
        with pytest.raises(SourceError, match="cannot open") as caught:
            source.open()

    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__, "the original error quotes the URL"
    assert name not in ("401", "404") or name in str(caught.value)


@pytest.mark.parametrize("name", ["accepts and never answers", "drips the description"])
def test_interrupt_ends_a_blocked_open(name: str) -> None:
    with RtspServer(BAD_OPENS[name]) as server:
        source = RtspSource(server.url(), Ledger(), LONG)
        with (
            interrupted_when_blocked(source.interrupt, server.asked),
            pytest.raises(SourceError, match="interrupted"),
        ):
            source.open()


@pytest.mark.parametrize("name", BAD_READS)
def test_read_fails_in_time(name: str) -> None:
    ledger = Ledger()
    with RtspServer(after=BAD_READS[name]) as server:
        stream = RtspSource(server.url(), ledger, OPTIONS).open()
        with took_less_than(READ_S + 2 * SLACK_S):
            read_until_error(stream)
        stream.close()

    assert ledger.snapshot().packets >= 49


@pytest.mark.parametrize("name", BLOCKED_READS)
def test_interrupt_ends_a_blocked_read(name: str) -> None:
    with RtspServer(after=BLOCKED_READS[name]) as server:
        stream = RtspSource(server.url(), Ledger(), LONG).open()
        with interrupted_when_blocked(stream.interrupt, server.played):
            assert "interrupted" in str(read_until_error(stream))
        with pytest.raises(SourceError):
            stream.read()
        stream.close()


def test_interrupt_hits_no_other_camera() -> None:
    """Two cameras of one server: one hangs and is cut off, the other goes on playing."""
    with RtspServer(after=silent) as hung, RtspServer() as well:
        victim = RtspSource(hung.url(), Ledger(), LONG).open()
        other = RtspSource(hung.url("/two"), Ledger(), LONG).open()
        playing = RtspSource(well.url(), Ledger(), LONG).open()
        reader = threading.Thread(target=lambda: read_until_error(other))
        reader.start()
        with interrupted_when_blocked(victim.interrupt, hung.played):
            read_until_error(victim)

        assert reader.is_alive()
        assert playing.read().sequence == 0
        other.interrupt()
        reader.join(1)
        assert not reader.is_alive()
        for stream in (victim, other, playing):
            stream.close()


def test_the_watch_and_the_interrupt_end_a_slow_drip() -> None:
    """What no timeout of libav notices: bytes come, packets do not."""
    with RtspServer(after=drips_packets) as server:
        stream = RtspSource(server.url(), Ledger(), OPTIONS).open()
        watch = StreamWatch(time.monotonic_ns(), WatchOptions(no_packet_timeout_s=0.6))
        done = threading.Event()

        def owner() -> None:
            while not done.wait(0.05):
                if watch.tick(time.monotonic_ns(), decoding=False).state is CameraState.STALLED:
                    stream.interrupt()

        thread = threading.Thread(target=owner)
        thread.start()
        with took_less_than(0.6 + SLACK_S):
            error = read_until_error(stream, lambda: watch.packet(time.monotonic_ns()))
        assert "interrupted" in str(error)
        done.set()
        thread.join()
        stream.close()


def test_an_interrupted_source_opens_again() -> None:
    with RtspServer() as server:
        source = RtspSource(server.url(), Ledger(), OPTIONS)
        source.interrupt()
        stream = source.open()
        decoder = stream.decoder()
        frames = [item for _ in range(40) for item in decoder.decode(stream.read())]
        stream.close()

    assert all(isinstance(frame, Frame) for frame in frames)
    assert len(frames) == 40


def test_nobody_listens() -> None:
    with RtspServer() as server:
        url = server.url(userinfo="joe:canary@")

    with pytest.raises(SourceError, match="Connection refused") as caught:
        RtspSource(url, Ledger(), OPTIONS).open()

    assert "canary" not in str(caught.value)
