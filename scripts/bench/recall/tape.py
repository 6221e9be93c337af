"""One encoded camera, decoded once in full: its packets, what each costs the decoder, and what its pictures show.

A tape stands for the camera in every replay, so that forty thresholds cost forty walks over packets, not forty decodes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import av
import numpy as np
import numpy.typing as npt

from pipelines.preprocess.thumbnail import luma_thumbnail
from pipelines.source.clock import to_ns
from pipelines.source.decoder import AvDecoder
from pipelines.values import U8, Frame, Packet, StreamInfo
from scripts.bench.scenes.picture import FPS

I64 = npt.NDArray[np.int64]
_OPENS = 5


class Sees(Protocol):
    """What looks at pictures: Eye, or a test's."""

    def score(self, frame: Frame) -> float: ...


@dataclass(frozen=True, slots=True, eq=False)
class Tape:
    """n packets of one file, in the order of the file; pictures are numbered in the order in which they are shown."""

    info: StreamInfo
    payloads: tuple[bytes, ...]
    is_key: npt.NDArray[np.bool_]
    picture: I64
    """(n,) number of the picture in each packet."""
    cost_ns: I64
    """(n,) thread time of the decoder for each packet, in a decode of all of them."""
    open_ns: int
    """Thread time to make and free a decoder."""
    delay: int
    """Pictures the decoder holds back."""
    thumbnails: U8
    """(n, 96, 160), by picture."""
    scores: npt.NDArray[np.float32]
    """(n,) by picture: the detector's best score in the encoded picture."""

    def __len__(self) -> int:
        return len(self.payloads)

    @property
    def time_s(self) -> npt.NDArray[np.float64]:
        """(n,) when each packet is sent: one frame interval after the other."""
        return np.arange(len(self)) / FPS

    def full_ns(self, since_s: float) -> int:
        """What it costs to decode everything from then on."""
        return int(self.cost_ns[self.time_s >= since_s].sum())


def read_packets(path: Path) -> tuple[StreamInfo, av.VideoCodecContext, list[av.Packet[av.VideoStream]]]:
    """All packets with a payload; the container is closed."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        context = stream.codec_context
        info = StreamInfo(context.name, context.width, context.height, float(FPS), bytes(context.extradata or b""))
        return info, context, packets


def record(path: Path, eye: Sees, looked_at: Callable[[int], bool], tick: Callable[[], None]) -> Tape:
    """Decode a file once. Takes 3 to 10 ms a frame.

    looked_at: which pictures the detector sees; between them the last score stands.
    """
    info, context, packets = read_packets(path)
    first = min(_pts_ns(packet) for packet in packets)
    picture = np.array([round((_pts_ns(packet) - first) * FPS / 1e9) for packet in packets])
    cost, scores = np.zeros(len(packets), np.int64), np.zeros(len(packets), np.float32)
    thumbnails = np.zeros((len(packets), 96, 160), np.uint8)
    decoder = AvDecoder(context)
    inside = delay = 0
    for number, packet in enumerate(packets):
        began_ns = time.thread_time_ns()
        items = decoder.decode(Packet(number, packet.size, packet.is_keyframe, _pts_ns(packet), 0, packet))
        cost[number] = time.thread_time_ns() - began_ns
        inside += 1 - len(items)
        delay = max(delay, inside)
        _look(items, picture, thumbnails, scores, eye, looked_at)
        tick()
    _look(decoder.flush(), picture, thumbnails, scores, eye, looked_at)
    decoder.close()
    payloads = tuple(bytes(packet) for packet in packets)
    is_key = np.array([packet.is_keyframe for packet in packets])
    _hold(scores, looked_at)
    return Tape(info, payloads, is_key, picture, cost, _open_ns(context), delay, thumbnails, scores)


def _look(
    items: object, picture: I64, thumbnails: U8, scores: npt.NDArray[np.float32], eye: Sees,
    looked_at: Callable[[int], bool],
) -> None:  # fmt: skip
    for item in items if isinstance(items, list) else []:
        if isinstance(item, Frame):
            number = int(picture[item.sequence])
            thumbnails[number] = luma_thumbnail(item.y)
            if looked_at(number):
                scores[number] = eye.score(item)


def _hold(scores: npt.NDArray[np.float32], looked_at: Callable[[int], bool]) -> None:
    for number in range(1, len(scores)):
        if not looked_at(number):
            scores[number] = scores[number - 1]


def _pts_ns(packet: av.Packet[av.VideoStream]) -> int:
    pts_ns = to_ns(packet.pts, packet.time_base)
    assert pts_ns is not None, "the encoder stamps every picture"
    return pts_ns


def _open_ns(context: av.VideoCodecContext) -> int:
    began_ns = time.thread_time_ns()
    for _ in range(_OPENS):
        AvDecoder(context).close()
    return (time.thread_time_ns() - began_ns) // _OPENS


def save(tape: Tape, folder: Path) -> None:
    """Everything but the payloads, which stand in the encoded file."""
    np.savez(
        folder / "tape.npz",
        cost_ns=tape.cost_ns, open_ns=tape.open_ns, delay=tape.delay, thumbnails=tape.thumbnails, scores=tape.scores,
    )  # fmt: skip


def load(folder: Path, clip: Path) -> Tape:
    info, _, packets = read_packets(clip)
    first = min(_pts_ns(packet) for packet in packets)
    with np.load(folder / "tape.npz") as kept:
        return Tape(
            info=info,
            payloads=tuple(bytes(packet) for packet in packets),
            is_key=np.array([packet.is_keyframe for packet in packets]),
            picture=np.array([round((_pts_ns(packet) - first) * FPS / 1e9) for packet in packets]),
            cost_ns=kept["cost_ns"],
            open_ns=int(kept["open_ns"]),
            delay=int(kept["delay"]),
            thumbnails=kept["thumbnails"],
            scores=kept["scores"],
        )


def keys(tape: Tape) -> Iterator[int]:
    """Numbers of the key packets."""
    yield from np.flatnonzero(tape.is_key).tolist()
