"""What a packet of a sleeping camera costs before the decoder: reading its headers, scoring it, and all of the gate.

    python scripts/bench/gate.py [--packets N] [CLIP...]

Thread time over recorded packets of 1080p25 clips (Annex B as given; else drawn by scripts/footage: H.264 and H.265, as
RTSP gives them, with start codes, and as mp4 holds them, with lengths), played again and again with growing time.
`admit_us` is the whole: packet to facts, score, state, kept group, and the outcome in the ledger; the threshold is out
of reach, so that the camera sleeps. Percentiles are of batches of 100 packets: single packets are below the clock's own
cost.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
from av.bitstream import BitStreamFilterContext

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipelines.accounting import Ledger
from pipelines.gate.bitstream import PacketFacts, PacketReader
from pipelines.gate.packet import PacketGate, PacketGateOptions
from pipelines.gate.score import ScoreOptions, Scorer
from pipelines.values import Outcome, Packet, StreamInfo
from scripts.bench.record import percentiles, record
from scripts.footage.film import Film, make

BATCH = 100
_LEARN = 1000
"""Packets before a camera knows its quiet."""
FPS = 25


@dataclass(frozen=True)
class Recording:
    codec: str
    extradata: bytes
    packets: list[tuple[bytes, bool]]
    """Payload, and whether the demuxer calls it a key frame."""


def recorded(path: Path, start_codes: bool) -> Recording:
    with av.open(str(path), "r") as container:
        stream = container.streams.video[0]
        name = stream.codec_context.name
        packets = [packet for packet in container.demux(stream) if packet.size]
        extradata = bytes(stream.codec_context.extradata or b"")
        if start_codes:
            convert = BitStreamFilterContext(f"{name}_mp4toannexb", in_stream=stream)
            packets = [out for packet in packets for out in convert.filter(packet)]
            extradata = b""
        return Recording(name, extradata, [(bytes(packet), packet.is_keyframe) for packet in packets])


def batches_us(step: Callable[[int], object], n: int) -> list[float]:
    """Thread time per call, one figure per batch; the first batch is for warming up."""
    out = []
    for first in range(0, n + BATCH, BATCH):
        before_ns = time.thread_time_ns()
        for number in range(first, first + BATCH):
            step(number)
        out.append((time.thread_time_ns() - before_ns) / 1e3 / BATCH)
    return out[1:]


def measure(recording: Recording, n: int) -> dict[str, object]:
    reader = PacketReader(recording.codec, recording.extradata)
    scorer = Scorer(ScoreOptions())
    packets, length = recording.packets, len(recording.packets)
    facts: list[PacketFacts] = [reader.read(payload, key) for payload, key in packets]
    interval_ns = 1_000_000_000 // FPS

    def read(number: int) -> None:
        payload, key = packets[number % length]
        reader.read(memoryview(payload), key)

    def score(number: int) -> None:
        scorer.update(facts[number % length], number * interval_ns)

    read_us, score_us = batches_us(read, n), batches_us(score, n)
    admit_us = _admit_us(recording, n)
    return {
        "codec": recording.codec,
        "framing": "lengths" if recording.extradata else "start_codes",
        "packet_bytes": round(sum(len(payload) for payload, _ in packets) / length),
        "read_us": {"mean": round(sum(read_us) / len(read_us), 2), **percentiles(read_us, 2)},
        "score_us": {"mean": round(sum(score_us) / len(score_us), 2), **percentiles(score_us, 2)},
        "admit_us": {"mean": round(sum(admit_us) / len(admit_us), 2), **percentiles(admit_us, 2)},
        "unread": reader.unread,
    }


def _admit_us(recording: Recording, n: int) -> list[float]:
    """Of a camera that sleeps, in batches; the packets themselves are made beforehand, as the source makes them."""
    gate = PacketGate(PacketGateOptions(threshold=1e9), paced=True)
    gate.restart(StreamInfo(recording.codec, 1920, 1080, float(FPS), recording.extradata))
    ledger = Ledger()
    out: list[float] = []
    for first in range(0, n + _LEARN, BATCH):
        batch = [_packet(recording, ledger.enter()) for _ in range(BATCH)]
        before_ns = time.thread_time_ns()
        for packet in batch:
            gate.admit(packet)
            ledger.settle(packet.sequence, Outcome.ASLEEP)
        if first >= _LEARN:
            out.append((time.thread_time_ns() - before_ns) / 1e3 / BATCH)
    assert not gate.decoding, "the camera must sleep"
    return out


def _packet(recording: Recording, number: int) -> Packet:
    payload, key = recording.packets[number % len(recording.packets)]
    time_ns = number * 1_000_000_000 // FPS
    return Packet(number, len(payload), key, time_ns, time_ns, payload)


def annex_b(path: Path) -> Recording:
    """A clip without a container."""
    codec = {"h264": "h264"}.get(path.suffix[1:], "hevc")
    with av.open(str(path), "r", format=codec) as container:
        packets = [(bytes(packet), packet.is_keyframe) for packet in container.demux(video=0) if packet.size]
    return Recording(codec, b"", packets)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packets", type=int, default=100_000, help="packets per line")
    parser.add_argument("clips", type=Path, nargs="*", metavar="CLIP", help="Annex B, .h264 or .hevc")
    args = parser.parse_args()
    for clip in args.clips:
        record("gate", args.packets, measure(annex_b(clip), args.packets), packages=("av",))
    if args.clips:
        return
    with tempfile.TemporaryDirectory() as directory:
        for codec in ("h264", "hevc"):
            film = Film(seconds=8.0, width=1920, height=1080, fps=FPS, codec=codec)
            path = make(Path(directory) / f"{codec}.mp4", film)
            for start_codes in (True, False):
                record("gate", args.packets, measure(recorded(path, start_codes), args.packets), packages=("av",))


if __name__ == "__main__":
    main()
