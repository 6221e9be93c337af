"""The cameras of the capacity bench: H.264 and H.265 clips over RTSP, RTP inside the TCP connection, parted beforehand.

    python -m scripts.bench.cameras_server --port 0 --cameras 64 --fps 25 --offset-s 1.7 CLIP...

Everything runs on one machine, where cameras have no business: so these cost as little as they can. Each picture's RTP
packets lie ready in memory; what is written before they go out in one system call is their sequence numbers and
timestamps, and into each key frame the time at which it is due (tests/fakes/sei.py). GStreamer's server
(scripts/rtsp_cameras), which does all that for each packet anew, takes four to five times the CPU; what a client
receives is the same. Any client may come: ours, FFmpeg's, OpenCV's, GStreamer's.

Clips are Annex B without B pictures, played in a loop. A camera goes on whether or not anybody watches, and drops
pictures up to a key frame for a client that leaves several seconds of them lying. When ready it prints one line of
JSON, {"port": int, "urls": [str, ...]}; it ends on SIGTERM or SIGINT. SIGUSR1 breaks every connection off.

Sources: RFC 2326 10, RFC 3550 5.1, RFC 6184 5.8, RFC 7798 4.4.3.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from struct import Struct

import av

from tests.fakes import sei

_PAYLOAD_BYTES = 1400 - 12
_CLOCK_HZ = 90_000
_TYPE = 96
_HEAD = Struct(">BBHBBHII")
"""Interleaved: $, channel, length; RTP: flags, marker and type, sequence, timestamp, source."""
_NUMBERS = Struct(">HI")
_NUMBERS_AT = 6
"""Of the sequence number behind an interleaved packet's start."""
_MOST_WAITING_BYTES = 2 * 1024 * 1024
_GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it, modulo 1, lie as evenly as can be however many there are."""
_SETS = {"h264": (7, 8), "hevc": (32, 33, 34)}


@dataclass(frozen=True, slots=True)
class Part:
    """RTP packets that lie one behind the other."""

    data: bytearray
    starts: tuple[int, ...]
    """Of each packet."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One access unit. A key frame's stamp goes between its two parts; of any other `before` is empty."""

    before: Part
    after: Part
    is_key: bool


@dataclass(frozen=True, slots=True)
class Clip:
    codec: str
    pictures: tuple[Picture, ...]
    sets: tuple[bytes, ...]

    def key_before(self, index: int) -> int:
        while not self.pictures[index].is_key:
            index -= 1
        return index


def read_clip(path: Path) -> Clip:
    """All pictures of a file, parted. Raises SystemExit for one that does not begin with a key frame."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        codec = stream.codec_context.name
        units = [tuple(_units(bytes(packet))) for packet in container.demux(stream) if packet.size]
    pictures = tuple(_picture(picture, codec) for picture in units)
    if not pictures or not pictures[0].is_key:
        raise SystemExit(f"{path}: does not begin with a key frame")
    return Clip(codec, pictures, tuple(unit for unit in units[0] if _kind(unit, codec) in _SETS[codec]))


def _units(data: bytes) -> Iterator[bytes]:
    """The NAL units of an access unit in Annex B, without start codes."""
    starts = [3 + data.find(b"\x00\x00\x01")]
    while (found := data.find(b"\x00\x00\x01", starts[-1])) >= 0:
        starts.append(found + 3)
    for start, following in pairwise([*starts, len(data) + 3]):
        end = following - 3
        yield data[start : end - (end < len(data) and data[end - 1] == 0)]


def _kind(unit: bytes, codec: str) -> int:
    return unit[0] & 0x1F if codec == "h264" else unit[0] >> 1 & 0x3F


def _picture(units: Sequence[bytes], codec: str) -> Picture:
    slices = (1, 5) if codec == "h264" else range(32)
    first = next(n for n, unit in enumerate(units) if _kind(unit, codec) in slices)
    kind = _kind(units[first], codec)
    is_key = kind == 5 if codec == "h264" else 16 <= kind <= 23
    split = first if is_key else 0
    before = [packet for unit in units[:split] for packet in _payloads(unit, codec)]
    after = [packet for unit in units[split:] for packet in _payloads(unit, codec)]
    return Picture(_part(before), _part(after, ends=True), is_key)


def _payloads(unit: bytes, codec: str) -> Iterator[bytes]:
    """A NAL unit as it is, or in fragments."""
    if len(unit) <= _PAYLOAD_BYTES:
        yield unit
        return
    kind = _kind(unit, codec)
    head, body = (1, unit[1:]) if codec == "h264" else (2, unit[2:])
    of_all = bytes([unit[0] & 0xE0 | 28]) if codec == "h264" else bytes([unit[0] & 0x81 | 49 << 1, unit[1]])
    each = _PAYLOAD_BYTES - head - 1
    for at in range(0, len(body), each):
        ends = (0x80 if at == 0 else 0) | (0x40 if at + each >= len(body) else 0)
        yield of_all + bytes([ends | kind]) + body[at : at + each]


def _part(payloads: Sequence[bytes], ends: bool = False) -> Part:
    """ends: the last packet has the marker bit."""
    data, starts = bytearray(), []
    for n, payload in enumerate(payloads, 1):
        starts.append(len(data))
        marker = 0x80 if ends and n == len(payloads) else 0
        data += _HEAD.pack(0x24, 0, 12 + len(payload), 0x80, marker | _TYPE, 0, 0, 0x1234) + payload
    return Part(data, tuple(starts))


class Camera:
    """One mount point: a clip, and when the camera showed its first picture."""

    def __init__(self, clip: Clip, fps: int, start_s: float) -> None:
        """start_s: of the monotonic clock."""
        self.clip, self.fps = clip, fps
        self._start_s = start_s

    def now(self) -> tuple[int, float]:
        """(the last key frame before now, when the last picture was due)."""
        count = int((time.monotonic() - self._start_s) * self.fps)
        return self.clip.key_before(count % len(self.clip.pictures)), self._start_s + count / self.fps

    def sdp(self) -> bytes:
        clip = self.clip
        sets = [base64.b64encode(unit).decode() for unit in clip.sets]
        if clip.codec == "h264":
            format_ = f"packetization-mode=1;sprop-parameter-sets={','.join(sets)}"
        else:
            format_ = ";".join(f"sprop-{name}={one}" for name, one in zip(("vps", "sps", "pps"), sets, strict=False))
        name = {"h264": "H264", "hevc": "H265"}[clip.codec]
        return (
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=range:npt=now-\r\n"
            f"m=video 0 RTP/AVP {_TYPE}\r\na=rtpmap:{_TYPE} {name}/{_CLOCK_HZ}\r\na=fmtp:{_TYPE} {format_}\r\n"
            "a=control:stream=0\r\n"
        ).encode()


class Play:
    """One client's pictures, each at its time."""

    def __init__(self, camera: Camera, transport: asyncio.Transport) -> None:
        self._camera, self._transport = camera, transport
        self._loop = asyncio.get_running_loop()
        self._index, self._start_s = camera.now()
        self._frame = self._sequence = 0
        self._dropping = False

    def begin(self) -> None:
        """Until the connection closes."""
        self._show()

    def _show(self) -> None:
        if self._transport.is_closing():
            return
        due_s = self._start_s + self._frame / self._camera.fps
        picture = self._camera.clip.pictures[self._index]
        waiting = self._transport.get_write_buffer_size()
        self._dropping = waiting > 0 if self._dropping and picture.is_key else self._dropping
        self._dropping = self._dropping or waiting > _MOST_WAITING_BYTES
        if not self._dropping:
            self._send(picture, int(due_s * 1e9))
        self._frame += 1
        self._index = (self._index + 1) % len(self._camera.clip.pictures)
        self._loop.call_at(self._start_s + self._frame / self._camera.fps, self._show)

    def _send(self, picture: Picture, due_ns: int) -> None:
        """Numbers are written into the picture that all cameras share, and copied right after."""
        rtp_time = self._frame * _CLOCK_HZ // self._camera.fps & 0xFFFFFFFF
        parts = [picture.after]
        if picture.is_key:
            parts = [picture.before, _part([sei.nal(self._camera.clip.codec, self._frame, due_ns)]), picture.after]
        self._transport.write(b"".join([self._numbered(part, rtp_time) for part in parts]))

    def _numbered(self, part: Part, rtp_time: int) -> bytearray:
        sequence = self._sequence
        for start in part.starts:
            _NUMBERS.pack_into(part.data, start + _NUMBERS_AT, sequence, rtp_time)
            sequence = (sequence + 1) & 0xFFFF
        self._sequence = sequence
        return part.data


class Connection(asyncio.Protocol):
    """One client's requests."""

    def __init__(self, cameras: dict[str, Camera], open_: set[asyncio.Transport]) -> None:
        self._cameras, self._open = cameras, open_
        self._data = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        assert self._transport is not None
        self._open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        while self._data:
            if self._data[:1] == b"$":  # the client's RTCP
                size = 4 + int.from_bytes(self._data[2:4], "big")
                if len(self._data) < max(4, size):
                    return
                self._data = self._data[size:]
                continue
            head, blank, rest = self._data.partition(b"\r\n\r\n")
            if not blank:
                return
            self._data = rest
            self._answer(head.decode("utf-8", "replace"))

    def _answer(self, head: str) -> None:
        assert self._transport is not None
        first, *lines = head.strip().split("\r\n")
        method, _, url = first.partition(" ")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        camera = self._cameras.get(url.split(" ")[0].split("/", 3)[-1].split("/")[0].split("?")[0])
        status, extra, body = "200 OK", "Session: 1;timeout=60\r\n", b""
        if method == "OPTIONS":
            extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n"
        elif camera is None:
            status, extra = "404 Not Found", ""
        elif method == "DESCRIBE":
            body = camera.sdp()
            extra = f"Content-Type: application/sdp\r\nContent-Base: {url.split(' ')[0].rstrip('/')}/\r\n"
        elif method == "SETUP" and "TCP" not in headers.get("transport", ""):
            status, extra = "461 Unsupported Transport", ""
        elif method == "SETUP":
            extra += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
        elif method == "PLAY":
            extra += "Range: npt=now-\r\n"
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        self._transport.write(
            f"RTSP/1.0 {status}\r\nCSeq: {headers.get('cseq', '0')}\r\n{extra}{length}\r\n".encode() + body
        )
        if method == "PLAY" and camera is not None:
            Play(camera, self._transport).begin()
        elif method == "TEARDOWN":
            self._transport.close()


def _camera(number: int, clip: Clip, options: argparse.Namespace) -> Camera:
    """Cameras show their pictures at different times within a picture's."""
    within_s = number * _GOLDEN % 1 / options.fps
    return Camera(clip, options.fps, time.monotonic() - number * options.offset_s - within_s)


def _break_off(connections: set[asyncio.Transport]) -> None:
    for transport in tuple(connections):
        transport.abort()


async def serve(options: argparse.Namespace) -> None:
    clips = [read_clip(path) for path in options.clips]
    cameras = {f"cam{n}": _camera(n, clips[n % len(clips)], options) for n in range(options.cameras)}
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    connections: set[asyncio.Transport] = set()
    loop.add_signal_handler(signal.SIGUSR1, _break_off, connections)
    server = await loop.create_server(lambda: Connection(cameras, connections), "127.0.0.1", options.port, backlog=256)
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"port": port, "urls": [f"rtsp://127.0.0.1:{port}/{name}" for name in cameras]}), flush=True)
    await ended.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="cameras_server", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="Annex B, H.264 or H.265")
    parser.add_argument("--cameras", type=int, default=1, help="they take the clips in turn (1)")
    parser.add_argument("--port", type=int, default=8554, help="0: a free one (8554)")
    parser.add_argument("--fps", type=int, default=25, help="pictures a second (25)")
    parser.add_argument("--offset-s", type=float, default=1.7, help="each camera is this much ahead of the last (1.7)")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
