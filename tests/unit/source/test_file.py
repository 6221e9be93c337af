from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.accounting import Ledger
from pipelines.errors import SourceError
from pipelines.source.file import FileOptions, FileSource, FileStream, Timeline
from pipelines.values import Packet, StreamInfo
from tests.fakes.rtsp_clips import write_clip

FRAME_NS = 40_000_000
S = 1_000_000_000


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_ns = 1_000 * S

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(
        tmp_path_factory.mktemp("clip") / "clip.mp4", count=50, options={"bf": "2", "g": "10", "sc_threshold": "0"}
    )


def read_all(stream: FileStream, most: int = 1000) -> list[Packet]:
    packets: list[Packet] = []
    while len(packets) < most and (packet := stream.read()):
        packets.append(packet)
    return packets


def test_as_fast_as_possible(clip: Path) -> None:
    ledger = Ledger()
    source = FileSource(clip, ledger, FileOptions(paced=False))
    stream = source.open()

    packets = read_all(stream)

    assert not source.paced
    assert stream.info == StreamInfo("h264", 128, 96, 25.0, stream.info.extradata)
    assert stream.info.extradata[:1] == b"\x01"  # avcC
    assert [packet.sequence for packet in packets] == list(range(50))
    assert sorted(packet.pts_ns or 0 for packet in packets)[-1] >= 49 * FRAME_NS
    assert [packet.is_keyframe for packet in packets].count(True) == 5
    assert all(bytes(memoryview(p.handle)) and p.size_bytes == len(bytes(p.handle)) for p in packets)
    assert ledger.snapshot().packets == 50, "the flush packets at the end are none"
    assert stream.read() is None


def test_paced_packets_arrive_when_they_are_due(clip: Path) -> None:
    """The pump is 2 s late: the packets are dated back, and none waits."""
    clock = Clock()
    stream = FileSource(clip, Ledger(), FileOptions(), now=clock).open()
    first = stream.read()
    assert first is not None
    clock.now_ns += 2 * S

    rest = read_all(stream)

    assert [packet.arrival_ns - first.arrival_ns for packet in rest] == [n * FRAME_NS for n in range(1, 50)]


def test_paced_reads_wait(clip: Path) -> None:
    """The second packet is due one frame time after the first, by the real clock."""
    stream = FileSource(clip, Ledger()).open()

    first, second = read_all(stream, 2)

    assert FRAME_NS <= second.arrival_ns - first.arrival_ns < FRAME_NS + 5_000_000


def test_interrupt_ends_the_wait(clip: Path) -> None:
    clock = Clock()
    stream = FileSource(clip, Ledger(), now=clock).open()  # its time stands still: the second read would wait for ever
    stream.read()
    errors: list[BaseException] = []

    def read() -> None:
        try:
            while stream.read():
                pass
        except SourceError as error:
            errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    stream.interrupt()
    reader.join(2)

    assert not reader.is_alive()
    assert len(errors) == 1
    with pytest.raises(SourceError):
        stream.read()


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "h264"])
def test_loops_with_growing_time(tmp_path: Path, suffix: str) -> None:
    path = write_clip(tmp_path / f"clip.{suffix}", count=10, options={"bf": "0"})
    clock = Clock()
    stream = FileSource(path, Ledger(), FileOptions(loop=True, paced=False), now=clock).open()

    packets = read_all(stream, 35)

    assert [packet.sequence for packet in packets] == list(range(35))
    assert [packet.is_keyframe for packet in packets] == [n % 10 == 0 for n in range(35)]
    pts = [packet.pts_ns or 0 for packet in packets]
    assert pts == pytest.approx([n * FRAME_NS for n in range(35)], abs=1_000_000)


def test_start_offset_takes_cameras_out_of_phase(clip: Path) -> None:
    """Key frames every 10: 0.9 s is in the third group. The offset counts modulo the length, time starts at zero."""
    sizes = [packet.size_bytes for packet in read_all(FileSource(clip, Ledger(), FileOptions(paced=False)).open())]
    options = FileOptions(paced=False, start_offset_s=2.9)

    packets = read_all(FileSource(clip, Ledger(), options).open())

    assert [packet.size_bytes for packet in packets] == sizes[20:]
    assert packets[0].is_keyframe
    assert packets[0].pts_ns is not None
    assert packets[0].pts_ns <= 3 * FRAME_NS


def test_a_file_without_timestamps_has_its_frame_rate(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.h264", count=5, options={"bf": "0"})
    options = FileOptions(paced=False, fps=10)

    packets = read_all(FileSource(path, Ledger(), options).open())

    assert [packet.pts_ns for packet in packets] == [n * 100_000_000 for n in range(5)]


@pytest.mark.parametrize("content", [None, b"", b"no video at all"])
def test_what_is_no_video_is_a_source_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad.mp4"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SourceError, match="cannot open"):
        FileSource(path, Ledger()).open()


def test_a_truncated_file_ends_or_fails_but_is_accounted(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.mkv"
    write_clip(path)
    path.write_bytes(path.read_bytes()[:-500])
    ledger = Ledger()

    packets = read_all(FileSource(path, ledger, FileOptions(paced=False)).open())

    assert 0 < len(packets) == ledger.snapshot().packets


@given(st.lists(st.lists(st.tuples(st.none() | st.integers(0, 10**12), st.none() | st.integers(0, 10**12)))))
def test_due_times_never_go_back(plays: list[list[tuple[int | None, int | None]]]) -> None:
    timeline, last = Timeline(FRAME_NS), 0
    for play in plays:
        for pts_ns, dts_ns in play:
            _, due_ns = timeline.place(pts_ns, dts_ns)
            assert due_ns >= last
            last = due_ns
        timeline.rewind()
