"""`framegate run` with the truth noted beside it, for the capacity bench.

    python -m scripts.bench.cameras_product --truth FILE run CONFIG --report FILE

The product is untouched: the seam is `pipelines.build._source`, whose streams are wrapped before the cameras are made.
Noted are each key frame (its number in the clip, when it was sent, when it was read, the thread's CPU time so far) and
each opening of a decoder: a wake-up, or a glance. Costs one Python call per packet; a search of the payload per key
frame; two clock readings per decoded packet.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from app.cli import main as framegate
from pipelines import build
from pipelines.contracts import Decoder, Source, Stream
from pipelines.values import Frame, Packet, StreamInfo, Undecodable
from scripts.bench import cameras_index
from tests.fakes import sei


class Notes:
    """What was seen of one camera. Its pump thread only, until the process ends."""

    def __init__(self) -> None:
        self.thread = 0
        self.keys: list[tuple[int, int, int, int, int]] = []
        """sequence, index in the clip (-1: none), sent ns (0: unknown), read ns, thread CPU ns."""
        self.sessions: list[list[int]] = []
        """Of each decoder: sequence of the packet it was opened with, opened ns, ns of the first live output (0: none),
        packets decoded, CPU ns spent decoding."""

    def key(self, packet: Packet) -> None:
        read_ns = time.monotonic_ns()
        payload = bytes(packet.handle)
        index = cameras_index.read(payload)
        stamp = sei.read(payload)
        sent_ns = stamp[1] if stamp else 0
        self.keys.append((packet.sequence, -1 if index is None else index, sent_ns, read_ns, time.thread_time_ns()))


class TappedDecoder:
    """Counts what is decoded, and when the first packet that is not of a catch-up was."""

    def __init__(self, inner: Decoder, notes: Notes, sequence: int) -> None:
        self._inner = inner
        self._session = [sequence, time.monotonic_ns(), 0, 0]
        notes.sessions.append(self._session)

    def decode(self, packet: Packet) -> Sequence[Frame | Undecodable]:
        session = self._session
        out = self._inner.decode(packet)
        session[3] += 1
        if not session[2] and packet.sequence >= session[0]:
            session[2] = time.monotonic_ns()
        return out

    def flush(self) -> Sequence[Frame | Undecodable]:
        return self._inner.flush()

    def close(self) -> None:
        self._inner.close()


class TappedStream:
    def __init__(self, inner: Stream, notes: Notes) -> None:
        self._inner = inner
        self._notes = notes
        self._sequence = 0

    @property
    def info(self) -> StreamInfo:
        return self._inner.info

    def read(self, wanted_ns: int = 0) -> Packet | None:
        packet = self._inner.read(wanted_ns)
        if packet is not None:
            self._sequence = packet.sequence
            if packet.is_keyframe:
                self._notes.key(packet)
        return packet

    def decoder(self) -> Decoder:
        return TappedDecoder(self._inner.decoder(), self._notes, self._sequence)

    def interrupt(self) -> None:
        self._inner.interrupt()

    def close(self) -> None:
        self._inner.close()


class TappedSource:
    def __init__(self, inner: Source, notes: Notes) -> None:
        self._inner = inner
        self._notes = notes

    @property
    def paced(self) -> bool:
        return self._inner.paced

    def open(self) -> Stream:
        self._notes.thread = threading.get_native_id()
        return TappedStream(self._inner.open(), self._notes)

    def interrupt(self) -> None:
        self._inner.interrupt()


def tap(original: Callable[..., Source], seen: dict[str, Notes]) -> Callable[..., Source]:
    """A stand-in for build._source that notes what every camera reads and decodes."""

    def tapped(camera: str, *arguments: Any) -> Source:
        return TappedSource(original(camera, *arguments), seen.setdefault(camera, Notes()))

    return tapped


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--truth", type=Path, required=True, help="where the notes go at exit")
    given, rest = parser.parse_known_args()
    seen: dict[str, Notes] = {}
    build._source = tap(build._source, seen)
    try:
        return framegate(rest)
    finally:
        notes = {camera: {"keys": n.keys, "sessions": n.sessions, "thread": n.thread} for camera, n in seen.items()}
        given.truth.write_text(json.dumps(notes))


if __name__ == "__main__":
    sys.exit(main())
