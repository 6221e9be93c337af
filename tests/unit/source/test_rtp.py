from __future__ import annotations

import struct
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.source.rtp import AccessUnit, Depacketizer

START = b"\x00\x00\x00\x01"
SLICE, IDR, SPS, FILLER, RECOVERY = b"\x41slice", b"\x65idr", b"\x67sps", b"\x0c" + b"\xff" * 30, b"\x06\x06\x00\x80"
TRAIL, IRAP, VPS = b"\x02\x01slice", b"\x26\x01irap", b"\x40\x01vps"


class Sender:
    """Numbers packets as a camera does."""

    def __init__(self, codec: str = "h264", sequence: int = 65_534) -> None:
        self.rtp = Depacketizer(codec, 96)
        self.sequence = sequence

    def send(self, payload: bytes, time: int, marker: bool = False, first: int = 0x80, kind: int = 96) -> list[bytes]:
        return [bytes(unit.data) for unit in self.units(payload, time, marker, first, kind)]

    def units(
        self, payload: bytes, time: int, marker: bool = False, first: int = 0x80, kind: int = 96
    ) -> list[AccessUnit]:
        head = struct.pack(">BBHII", first, kind | marker << 7, self.sequence & 0xFFFF, time, 7)
        self.sequence += 1
        return self.rtp.push(memoryview(head + payload))


def fragments(unit: bytes, size: int = 3) -> list[bytes]:
    """FU-A packets of one H.264 NAL unit."""
    body = [unit[at : at + size] for at in range(1, len(unit), size)]
    last = len(body) - 1
    return [
        bytes([unit[0] & 0xE0 | 28, unit[0] & 0x1F | (n == 0) << 7 | (n == last) << 6]) + b for n, b in enumerate(body)
    ]


def test_the_marker_ends_a_picture() -> None:
    camera = Sender()

    assert camera.send(SPS, 100) == []
    (unit,) = camera.units(IDR, 100, marker=True)

    assert unit.data == START + SPS + START + IDR
    assert (unit.rtp_time, unit.is_key, unit.held) == (100, True, False)
    assert camera.rtp.lost == 0, "the number wraps at 16 bits"


def test_fragments_are_joined() -> None:
    camera = Sender()
    *first, last = fragments(b"\x41" + bytes(range(1, 30)))

    assert [camera.send(piece, 5) for piece in first] == [[]] * len(first)
    assert camera.send(last, 5, marker=True) == [START + b"\x41" + bytes(range(1, 30))]


def test_a_lost_fragment_takes_its_unit_along_and_no_other() -> None:
    camera = Sender()
    one, _, three = fragments(b"\x41abcdefgh")
    camera.send(SLICE, 5)
    camera.send(one, 5)
    camera.sequence += 1

    assert camera.send(three, 5, marker=True) == [START + SLICE + START + b"\x41abc"]
    assert camera.rtp.lost == 1


def test_aggregates_are_parted() -> None:
    packet = b"\x18" + b"".join(struct.pack(">H", len(unit)) + unit for unit in (SPS, IDR))

    assert Sender().send(packet, 1, marker=True) == [START + SPS + START + IDR]


def test_filler_is_left_out_also_in_fragments() -> None:
    camera = Sender()
    camera.send(SLICE, 1)
    for piece in fragments(FILLER, 10):
        camera.send(piece, 1)

    assert camera.send(FILLER, 1, marker=True) == [START + SLICE]


def test_a_recovery_point_counts_as_key() -> None:
    camera = Sender()
    camera.send(RECOVERY, 1)

    assert [unit.is_key for unit in camera.units(SLICE, 1, marker=True)] == [True]
    assert [unit.is_key for unit in camera.units(SLICE, 2, marker=True)] == [False]


def test_parameter_sets_wait_for_their_picture_whatever_the_marker_says() -> None:
    camera = Sender()

    assert camera.send(SPS, 1, marker=True) == []
    assert camera.send(IDR, 2, marker=True) == [START + SPS + START + IDR]


def test_without_markers_the_next_picture_ends_one() -> None:
    camera = Sender()
    camera.send(IDR, 1)
    (unit,) = camera.units(SLICE, 2)

    assert unit.data == START + IDR
    assert unit.held


def test_a_marker_on_each_slice_is_noticed() -> None:
    """The first picture comes in two; from then on the timestamp counts."""
    camera = Sender()

    assert camera.send(IDR, 1, marker=True) == [START + IDR]
    assert camera.send(SLICE, 1, marker=True) == []
    assert not camera.rtp.markers
    assert camera.send(SLICE, 2, marker=True) == [START + SLICE]
    assert camera.send(SLICE, 2, marker=True) == []
    assert camera.send(SLICE, 3, marker=True) == [START + SLICE + START + SLICE]


def test_extension_sources_and_padding_are_no_payload() -> None:
    packet = b"\0\0\0\x09" + b"\xbe\xde\0\1\0\0\0\0" + SLICE + b"\0\0\3"

    assert Sender().send(packet, 1, marker=True, first=0xB1) == [START + SLICE]


@pytest.mark.parametrize("packet", [b"", b"\x80", b"\x00" * 20, b"\x80\x60" + b"\0" * 10], ids=repr)
def test_what_is_no_packet_is_counted(packet: bytes) -> None:
    rtp = Depacketizer("h264", 96)

    assert rtp.push(memoryview(packet)) == []
    assert rtp.broken == 1


def test_another_payload_type_is_left_alone() -> None:
    camera = Sender()

    assert camera.send(SLICE, 1, marker=True, kind=97) == []
    assert camera.rtp.broken == 0


def test_h265_single_aggregate_and_fragments() -> None:
    camera = Sender("hevc")
    aggregate = b"\x60\x01" + b"".join(struct.pack(">H", len(unit)) + unit for unit in (VPS, IRAP))
    pieces = [b"\x62\x01\x93\x01ab", b"\x62\x01\x13cd", b"\x62\x01\x53ef"]

    assert camera.send(TRAIL, 1, marker=True) == [START + TRAIL]
    (unit,) = camera.units(aggregate, 2, marker=True)
    assert (bytes(unit.data), unit.is_key) == (START + VPS + START + IRAP, True)
    assert camera.send(pieces[0], 3) == camera.send(pieces[1], 3) == []
    (unit,) = camera.units(pieces[2], 3, marker=True)
    assert (bytes(unit.data), unit.is_key) == (START + b"\x26\x01\x01abcdef", True)


def h265_fragments(unit: bytes, size: int = 5) -> list[bytes]:
    """FU packets of one H.265 NAL unit."""
    body = [unit[at : at + size] for at in range(2, len(unit), size)]
    last, kind = len(body) - 1, unit[0] >> 1
    return [b"\x62\x01" + bytes([kind | (n == 0) << 7 | (n == last) << 6]) + b for n, b in enumerate(body)]


_LONG = bytes(range(1, 90))
_PICTURES = {
    "h264": [SPS, *fragments(IDR + _LONG, 9), *fragments(b"\x41" + _LONG, 9), SLICE, *fragments(b"\x0c" + _LONG, 9)],
    "hevc": [VPS, *h265_fragments(IRAP + _LONG), *h265_fragments(TRAIL + _LONG), *h265_fragments(b"\x4c\x01" + _LONG)],
}


@given(
    st.sampled_from(["h264", "hevc"]),
    st.lists(
        st.sampled_from([*[""] * 20, "lost", "twice", "later", "other", "marker", "short", "foreign"]),
        min_size=30,
        max_size=90,
    ),
    st.integers(1, 40),
)
def test_many_at_once_are_as_one_by_one(codec: str, fates: list[str], at_once: int) -> None:
    """Whatever happened to packets on their way: the short way within a fragmented unit takes what belongs there."""
    packets: list[bytes] = []
    for n, fate in enumerate(fates):
        payload = _PICTURES[codec][n % len(_PICTURES[codec])]
        time = n // len(_PICTURES[codec]) * 3600 + (1 if fate == "later" else 0)
        kind = (97 if fate == "foreign" else 96) | (0x80 if fate == "marker" or n % 17 == 16 else 0)
        data = struct.pack(">BBHII", 0x80, kind, 65_500 + n & 0xFFFF, time, 7) + payload
        data = {"other": data[:12] + b"\x41" + data[13:], "short": data[:14]}.get(fate, data)
        packets += {"lost": [], "twice": [data, data]}.get(fate, [data])
    alone, together = Depacketizer(codec, 96), Depacketizer(codec, 96)

    wanted = [unit for packet in packets for unit in alone.push(memoryview(packet))]
    spans = list(pairwise([0, *accumulate(map(len, packets))]))
    whole = memoryview(b"".join(packets))
    got = [unit for at in range(0, len(spans), at_once) for unit in together.push_all(whole, spans[at : at + at_once])]

    assert got == wanted
    assert (together.lost, together.broken) == (alone.lost, alone.broken)
