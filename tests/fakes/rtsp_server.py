"""A small RTSP server that plays one H.264 stream over TCP and then misbehaves in the way it is told.

Threads, because its clients block. Nothing sleeps for long: every pause ends when the server is closed.
"""

from __future__ import annotations

import base64
import contextlib
import io
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from types import TracebackType

import av
import numpy as np

DRIP_S = 0.05
"""One byte each: seldom enough to be useless, often enough that no socket timeout of a second ever ends."""
Reply = Callable[["Session", str, str], bytes | None]
"""(session, method, cseq) -> raw answer, None to leave it to the default."""
After = Callable[["Session"], None]
"""What to do when the clip has been sent."""


def h264_pictures(count: int = 50, width: int = 64, height: int = 48) -> list[bytes]:
    """Access units in Annex B, one key frame first, parameter sets in front of it."""
    codec = av.CodecContext.create("libx264", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt, codec.rate = width, height, "yuv420p", 25  # type: ignore[assignment]
    codec.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "1000"}
    pictures = []
    for index in range(count):
        luma = np.full((height * 3 // 2, width), 16 + index * 4 % 200, np.uint8)
        pictures += [bytes(p) for p in codec.encode(av.VideoFrame.from_ndarray(luma, "yuv420p"))]
    return pictures


def nal_units(picture: bytes) -> Iterator[bytes]:
    """The NAL units of an access unit in Annex B, without start codes."""
    for piece in picture.split(b"\x00\x00\x01"):
        if unit := piece.rstrip(b"\x00"):
            yield unit


class Session:
    """One client's connection."""

    def __init__(self, server: RtspServer, connection: socket.socket) -> None:
        self.server = server
        self.connection = connection

    def run(self) -> None:
        with contextlib.suppress(OSError), self.connection, self.connection.makefile("rb") as requests:
            while head := _read_head(requests):
                method = head[0].split()[0]
                cseq = next((line.split(":")[1].strip() for line in head if line.lower().startswith("cseq")), "0")
                self.connection.sendall(self.server.answer(self, method, cseq))
                if method == "PLAY":
                    self._play()

    def _play(self) -> None:
        for index, picture in enumerate(self.server.pictures):
            units = list(nal_units(picture))
            for last, unit in enumerate(units, 1 - len(units)):
                self.rtp(unit, index * 3600, marker=last == 0)
        self.server.played.set()
        self.server.after(self)

    def hang_up(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)

    def rtp(self, payload: bytes, timestamp: int, marker: bool) -> None:
        """One RTP packet, interleaved (RFC 2326, 10.12)."""
        self.server.sequence += 1
        head = struct.pack(">BBHII", 0x80, 96 | marker << 7, self.server.sequence & 0xFFFF, timestamp, 0x1234)
        self.connection.sendall(struct.pack(">BBH", 0x24, 0, len(head) + len(payload)) + head + payload)

    def drip(self, data: bytes) -> None:
        """Byte by byte until the server closes."""
        for value in data:
            self.connection.sendall(bytes([value]))
            if self.server.closing.wait(DRIP_S):
                return


class RtspServer:
    """Listens on a free port of 127.0.0.1 until closed. Any number of clients."""

    def __init__(self, reply: Reply = lambda *_: None, after: After = lambda _: None) -> None:
        self.reply = reply
        self.after = after
        self.pictures = h264_pictures()
        self.sequence = 0
        self.asked = threading.Event()
        """A client sent its first request."""
        self.played = threading.Event()
        """The clip was sent to a client."""
        self.closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sessions: list[tuple[threading.Thread, socket.socket]] = []
        self._acceptor = threading.Thread(target=self._accept, name="fake-rtsp")
        self.port: int = self._listener.getsockname()[1]

    def url(self, path: str = "/cam", userinfo: str = "") -> str:
        return f"rtsp://{userinfo}127.0.0.1:{self.port}{path}"

    def __enter__(self) -> RtspServer:
        self._acceptor.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        for thread, connection in self._sessions:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=Session(self, connection).run, name="fake-rtsp-session")
            self._sessions.append((thread, connection))
            thread.start()

    def answer(self, session: Session, method: str, cseq: str) -> bytes:
        self.asked.set()
        special = self.reply(session, method, cseq)
        if special is not None:
            return special
        if method == "DESCRIBE":
            sdp = self.sdp()
            return response(cseq, f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n") + sdp
        extra = {
            "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n",
            "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n",
        }
        return response(cseq, extra.get(method, "Session: 1\r\n"))

    def sdp(self) -> bytes:
        sets = [unit for unit in nal_units(self.pictures[0]) if unit[0] & 0x1F in (7, 8)]
        sprop = ",".join(base64.b64encode(unit).decode() for unit in sets)
        return (
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=fake\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
            f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sprop}\r\na=control:trackID=0\r\n"
        ).encode()


def response(cseq: str, extra: str = "", status: str = "200 OK") -> bytes:
    """An RTSP answer's head."""
    return f"RTSP/1.0 {status}\r\nCSeq: {cseq}\r\n{extra}\r\n".encode()


def _read_head(requests: io.BufferedIOBase) -> list[str]:
    """One request's lines, [] at the end. Interleaved RTCP from the client is skipped."""
    lines: list[str] = []
    while True:
        first = requests.read(1)
        if not first:
            return []
        if first == b"$" and not lines:
            requests.read(struct.unpack(">BH", requests.read(3))[1])
            continue
        line = (first + requests.readline()).decode().strip()
        if line:
            lines.append(line)
        elif lines:
            return lines
