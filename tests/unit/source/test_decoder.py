"""Every packet comes back exactly once, and each frame is the picture of its own packet."""

from __future__ import annotations

import gc
import random
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import av
import av.video.plane
import cv2
import numpy as np
import pytest

from pipelines.accounting import Ledger
from pipelines.source import decoder as decoder_module
from pipelines.source.decoder import MAX_DELAY, AvDecoder, DecoderOptions
from pipelines.source.file import FileOptions, FileSource
from pipelines.values import Cause, ColorMatrix, ColorRange, Frame, Packet, Undecodable
from tests.fakes.rtsp_clips import number, write_clip

FRAME_NS = 40_000_000
X265 = "log-level=none:bframes={}:keyint=25:min-keyint=25:scenecut=0:open-gop=0"
CLIPS = {
    "h264": ("libx264", {"bf": "0", "g": "25", "sc_threshold": "0"}),
    "h264 with B-frames": ("libx264", {"bf": "3", "g": "25", "b_strategy": "0", "sc_threshold": "0"}),
    "h265": ("libx265", {"x265-params": X265.format(0)}),
    "h265 with B-frames": ("libx265", {"x265-params": X265.format(3)}),
    "mpeg4": ("mpeg4", {"g": "25", "sc_threshold": "1000000000"}),
}


class Run(NamedTuple):
    given: list[Packet]
    frames: list[Frame]
    lost: list[Undecodable]
    peak_inside: int

    def causes(self) -> Counter[Cause]:
        return Counter(item.cause for item in self.lost)


def play(path: Path, touch: Callable[[Packet], bool] = lambda _: True, options: DecoderOptions | None = None) -> Run:
    """Decode a file; `touch` may damage a packet, or drop it by returning False. Checks the law."""
    stream = FileSource(path, Ledger(), FileOptions(paced=False, decoder=options or DecoderOptions())).open()
    decoder = stream.decoder()
    given: list[Packet] = []
    out: list[Frame | Undecodable] = []
    peak = 0
    while packet := stream.read():
        if touch(packet):
            given.append(packet)
            out += decoder.decode(packet)
            peak = max(peak, len(given) - len(out))
    out += decoder.flush()
    decoder.close()
    stream.close()
    assert sorted(item.sequence for item in out) == [packet.sequence for packet in given]
    assert peak <= MAX_DELAY
    frames = [item for item in out if isinstance(item, Frame)]
    return Run(given, frames, [item for item in out if isinstance(item, Undecodable)], peak)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    return {
        name: write_clip(folder / f"{n}.mp4", codec, options=options)
        for n, (name, (codec, options)) in enumerate(CLIPS.items())
    }


@pytest.mark.parametrize("name", CLIPS)
def test_each_frame_is_the_picture_of_its_packet(clips: dict[str, Path], name: str) -> None:
    run = play(clips[name])

    assert not run.lost
    assert [number(frame.y) for frame in run.frames] == list(range(50))
    pts = {packet.sequence: packet.pts_ns for packet in run.given}
    shown = [frame.pts_ns for frame in run.frames if frame.pts_ns is not None]
    assert [frame.pts_ns for frame in run.frames] == [pts[frame.sequence] for frame in run.frames]
    assert [(at - shown[0]) // FRAME_NS for at in shown] == list(range(50))
    assert [frame.is_keyframe for frame in run.frames].count(True) == 2


def test_b_frames_really_reorder(clips: dict[str, Path]) -> None:
    """Guards the test above: position would have been wrong here."""
    order = [frame.sequence for frame in play(clips["h264 with B-frames"]).frames]

    assert order != sorted(order)


@pytest.mark.parametrize("name", ["h264", "h264 with B-frames", "h265", "h265 with B-frames"])
def test_a_start_in_the_middle_of_a_gop_is_corrupt_until_the_key_frame(clips: dict[str, Path], name: str) -> None:
    run = play(clips[name], lambda packet: packet.sequence >= 10)

    assert {frame.sequence for frame in run.frames} == set(range(25, 50))
    assert run.causes()[Cause.CORRUPT] == 15


def test_damage_is_concealed_and_dropped(clips: dict[str, Path]) -> None:
    rng = random.Random(3)

    def damage(packet: Packet) -> bool:
        if packet.sequence in (30, 35, 40):
            data = bytearray(bytes(packet.handle))
            data[20:] = rng.randbytes(len(data) - 20)
            packet.handle.update(bytes(data))
        return True

    run = play(clips["h264"], damage)

    assert {item.sequence for item in run.lost} >= {30, 35, 40}
    assert set(run.causes()) <= {Cause.CONCEALED, Cause.CORRUPT}


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("seed", range(3))
def test_loss_and_noise_never_break_the_law(clips: dict[str, Path], name: str, seed: int) -> None:
    rng = random.Random(seed)

    def spoil(packet: Packet) -> bool:
        if rng.random() < 0.2:
            size = len(bytes(packet.handle))
            packet.handle.update(rng.randbytes(size))
        return rng.random() > 0.1

    run = play(clips[name], spoil)

    assert len(run.frames) + len(run.lost) == len(run.given)


def test_parameter_sets_alone_are_no_picture(clips: dict[str, Path]) -> None:
    def empty(packet: Packet) -> bool:
        if packet.sequence == 49:
            length = packet.size_bytes - 4
            packet.handle.update(length.to_bytes(4, "big") + b"\x0c" + b"\xff" * (length - 1))  # filler data
        return True

    run = play(clips["h264"], empty)

    assert run.lost == [Undecodable(49, Cause.PARAMETER_SETS)]


class Scripted:
    """A codec context that puts out the pictures a test says: libx264 writes no field pictures."""

    def __init__(self, *outputs: list[int]) -> None:
        self._tags: list[object] = []
        self._outputs = iter(outputs)

    def decode(self, handle: SimpleNamespace) -> list[SimpleNamespace]:
        self._tags.append(handle.opaque)
        return [
            SimpleNamespace(opaque=self._tags[index], interlaced_frame=True, is_corrupt=False)
            for index in next(self._outputs)
        ]


class Slice(SimpleNamespace):
    """A packet's handle: one H.264 slice."""

    def __bytes__(self) -> bytes:
        return bytes([0, 0, 0, 2, 0x41, 0])


def scripted(clip: Path, monkeypatch: pytest.MonkeyPatch, *outputs: list[int]) -> list[list[Frame | Undecodable]]:
    """What a decoder returns for each packet if its codec puts out these packets' pictures, by index."""
    plane = np.zeros((2, 2), np.uint8)
    monkeypatch.setattr(decoder_module, "planes", lambda _picture: (plane, plane, plane, False))
    monkeypatch.setattr(decoder_module, "color_tags", lambda _p: (ColorRange.UNSPECIFIED, ColorMatrix.UNSPECIFIED))
    decoder = FileSource(clip, Ledger()).open().decoder()
    monkeypatch.setattr(decoder, "_codec", Scripted(*outputs))

    def packet(index: int) -> Packet:
        handle = Slice(pts=index * 20, time_base=Fraction(1, 1000), opaque=None)
        return Packet(index, 6, index == 0, index * 20_000_000, 0, handle)

    return [decoder.decode(packet(index)) for index in range(len(outputs))]


def test_second_fields_share_the_picture_of_the_first(clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """PAFF: two packets make one picture, which bears the first one's tag and comes out with the second."""
    out = scripted(clips["h264"], monkeypatch, [], [0], [], [2], [], [4])

    assert [[item.sequence for item in items] for items in out] == [[], [0], [], [2, 1], [], [4, 3]]
    assert out[3][1] == Undecodable(1, Cause.SECOND_FIELD)


def test_a_picture_that_never_comes_is_given_up(clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """At once when a later one is shown, and in any case before more are inside than any decoder holds."""
    shown = scripted(clips["h264"], monkeypatch, [0], [], [], [3])
    silent = scripted(clips["h264"], monkeypatch, *[[]] * (MAX_DELAY + 2))

    assert shown[3][1:] == [Undecodable(1, Cause.SECOND_FIELD), Undecodable(2, Cause.NEVER_OUTPUT)]
    assert [len(items) for items in silent] == [0] * MAX_DELAY + [1, 1]


def test_a_second_picture_of_one_packet_is_no_second_outcome(
    clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = scripted(clips["h264"], monkeypatch, [0], [0, 1], [1])

    assert [[item.sequence for item in items] for items in out] == [[0], [1], []]


def test_flush_returns_what_is_inside_and_the_decoder_goes_on(clips: dict[str, Path]) -> None:
    stream = FileSource(clips["h264 with B-frames"], Ledger(), FileOptions(paced=False)).open()
    decoder = stream.decoder()
    packets = [packet for _ in range(50) if (packet := stream.read())]

    first = [item for packet in packets[:5] for item in decoder.decode(packet)] + decoder.flush()
    second = [item for packet in packets[25:] for item in decoder.decode(packet)] + decoder.flush()

    assert sorted(item.sequence for item in first) == list(range(5))
    assert [number(item.y) for item in second if isinstance(item, Frame)] == list(range(25, 50))
    assert decoder.flush() == []


def test_change_of_resolution_in_mid_stream(tmp_path: Path) -> None:
    """One decoder, Annex B, other parameter sets in band from the second half on."""
    small = write_clip(tmp_path / "a.h264", count=10, wh=(128, 96))
    large = write_clip(tmp_path / "b.h264", count=10, wh=(192, 112))
    both = tmp_path / "both.h264"
    both.write_bytes(small.read_bytes() + large.read_bytes())

    run = play(both)

    assert Counter(frame.wh for frame in run.frames) == {(128, 96): 10, (192, 112): 10}
    assert [number(frame.y) for frame in run.frames] == [*range(10), *range(10)]


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "converted", "color_range"),
    [
        ("libx264", "yuv420p", False, ColorRange.UNSPECIFIED),
        ("libx264", "yuvj420p", False, ColorRange.FULL),
        ("libx264", "yuv422p", True, ColorRange.UNSPECIFIED),
        ("libx264", "yuv444p", True, ColorRange.UNSPECIFIED),
        ("libx264", "yuv420p10le", True, ColorRange.UNSPECIFIED),
        ("libx265", "yuv420p10le", True, ColorRange.LIMITED),
        ("ffv1", "gray", True, ColorRange.FULL),
        ("mjpeg", "yuvj422p", True, ColorRange.FULL),
    ],
)
def test_other_formats_become_8_bit_420(
    tmp_path: Path, codec: str, pix_fmt: str, converted: bool, color_range: ColorRange
) -> None:
    stream = FileSource(
        write_clip(tmp_path / "clip.mkv", codec, 3, (130, 98), pix_fmt), Ledger(), FileOptions(paced=False)
    ).open()
    decoder = stream.decoder()
    out = [item for _ in range(3) if (p := stream.read()) for item in decoder.decode(p)] + decoder.flush()
    frames = [item for item in out if isinstance(item, Frame)]

    assert [number(frame.y) for frame in frames] == [0, 1, 2]
    assert decoder.statistics().converted == (3 if converted else 0)
    frame = frames[0]
    assert frame.color_range is color_range
    assert (frame.y.shape, frame.u.shape, frame.v.shape) == ((98, 130), (49, 65), (49, 65))
    assert {plane.dtype for plane in (frame.y, frame.u, frame.v)} == {np.dtype(np.uint8)}
    assert {plane.strides[1] for plane in (frame.y, frame.u, frame.v)} == {1}
    # Luma 40 in the clip is limited range; swscale stretches it where the target is full range, never behind a tag.
    dark = 28 if color_range is ColorRange.FULL else 40
    assert int(frame.y[49, 8]) == pytest.approx(dark, abs=3)
    assert int(frame.u[24, 32]) == pytest.approx(128, abs=3)


def test_tags_may_be_overridden(clips: dict[str, Path]) -> None:
    options = DecoderOptions(color_range=ColorRange.FULL, color_matrix=ColorMatrix.BT709)

    frame = play(clips["h264"], options=options).frames[0]

    assert (frame.color_range, frame.color_matrix) == (ColorRange.FULL, ColorMatrix.BT709)


def test_tags_are_read(tmp_path: Path) -> None:
    options = {"x264-params": "colormatrix=smpte170m:range=tv"}

    frame = play(write_clip(tmp_path / "a.mp4", count=2, options=options)).frames[0]

    assert (frame.color_range, frame.color_matrix) == (ColorRange.LIMITED, ColorMatrix.BT601)


def test_planes_are_views_that_outlive_the_decoder(clips: dict[str, Path]) -> None:
    run = play(clips["h264"])
    gc.collect()

    assert [number(frame.y) for frame in run.frames] == list(range(50))
    frame = run.frames[0]
    owner: object = frame.y
    while isinstance(owner, np.ndarray):
        owner = owner.base
    assert isinstance(owner, memoryview)
    assert isinstance(owner.obj, av.video.plane.VideoPlane), "the decoder's own memory, not a copy"
    assert not frame.y.flags.writeable
    assert cv2.resize(frame.y, (64, 48)).shape == (48, 64)


def test_nothing_is_left_of_decoded_packets(clips: dict[str, Path]) -> None:
    """The identity tags live in a table of PyAV: they must leave it with their packets and frames."""

    def tags() -> int:
        gc.collect()
        return sum(type(thing).__name__ == "_Tag" for thing in gc.get_objects())

    before = tags()
    kept = play(clips["h264 with B-frames"])
    assert tags() >= before + 50
    del kept

    assert tags() == before


def test_like_numbers_of_two_cameras_do_not_meet(clips: dict[str, Path]) -> None:
    """Two decoders at once, same sequence numbers: small ints are one object in Python, tags are not."""
    streams = [FileSource(clips["h264 with B-frames"], Ledger(), FileOptions(paced=False)).open() for _ in range(2)]
    decoders = [stream.decoder() for stream in streams]
    out: list[list[Frame | Undecodable]] = [[], []]
    for _ in range(50):
        for stream, decoder, items in zip(streams, decoders, out, strict=True):
            packet = stream.read()
            assert packet is not None
            items += decoder.decode(packet)
    for decoder, items in zip(decoders, out, strict=True):
        items += decoder.flush()

    for items in out:
        assert [number(item.y) for item in items if isinstance(item, Frame)] == list(range(50))


def test_statistics_count(clips: dict[str, Path]) -> None:
    stream = FileSource(clips["h264"], Ledger(), FileOptions(paced=False)).open()
    decoder: AvDecoder = stream.decoder()
    for _ in range(10):
        packet = stream.read()
        assert packet is not None
        decoder.decode(packet)

    assert (decoder.statistics().packets, decoder.statistics().frames) == (10, 10)
