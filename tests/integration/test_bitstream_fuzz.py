"""No bytes make the reader raise: cameras, networks and attackers send what they like."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.gate.bitstream import PacketFacts, PacketReader
from tests.integration.test_bitstream import B_FRAMES, B_FRAMES_HEVC, CBR
from tests.unit.gate.encodes import Dialect, encoded

CODECS = st.sampled_from(["h264", "hevc", "vp9"])
HEADERS = {"h264": b"\x06\x67\x68\x65\x41\x01\x0c", "hevc": b"\x40\x42\x44\x26\x02\x4c\x4e"}
CLIPS = [B_FRAMES, B_FRAMES_HEVC, CBR, *(replace(d, length_prefixed=True) for d in (B_FRAMES, B_FRAMES_HEVC))]


def sound(facts: PacketFacts, payload: bytes) -> None:
    assert 0 <= facts.payload_bytes <= len(payload)
    assert facts.qp is None or -48 <= facts.qp <= 51
    assert facts.qp is None or facts.slice_type is not None


@given(CODECS, st.binary(max_size=300), st.lists(st.binary(max_size=300), max_size=4), st.booleans())
def test_random_bytes(codec: str, extradata: bytes, payloads: list[bytes], key: bool) -> None:
    reader = PacketReader(codec, extradata)
    for payload in payloads:
        sound(reader.read(payload, key), payload)


@given(st.data(), st.sampled_from(["h264", "hevc"]))
def test_random_units_behind_start_codes(data: st.DataObject, codec: str) -> None:
    """Gets past the framing: each unit has a header that is looked into."""
    units = data.draw(st.lists(st.tuples(st.sampled_from(list(HEADERS[codec])), st.binary(max_size=60)), max_size=6))
    payload = b"".join(b"\x00\x00\x01" + bytes([header, 1]) + body for header, body in units)
    reader = PacketReader(codec)
    for _ in range(2):
        sound(reader.read(payload, False), payload)


@pytest.mark.parametrize("dialect", CLIPS)
def test_real_packets_cut_anywhere(dialect: Dialect) -> None:
    clip = encoded(dialect)
    for cut in range(120):
        reader = PacketReader(clip.codec, clip.extradata[: cut or None])
        for packet in clip.packets[:4]:
            sound(reader.read(packet[:cut], False), packet[:cut])


@pytest.mark.parametrize("dialect", CLIPS)
def test_real_packets_with_flipped_bits(dialect: Dialect) -> None:
    clip, rng = encoded(dialect), random.Random(7)
    for _ in range(150):
        extradata = flipped(clip.extradata, rng)
        reader = PacketReader(clip.codec, extradata)
        for packet in rng.sample(clip.packets, 4):
            damaged = flipped(packet[:900], rng)
            sound(reader.read(damaged, rng.random() < 0.5), damaged)


def flipped(data: bytes, rng: random.Random) -> bytes:
    """With 1 to 6 bits flipped, most of them near the front, where headers are."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 6) if out else 0):
        at = int(len(out) * rng.random() ** 3)
        out[at] ^= 1 << rng.randrange(8)
    return bytes(out)


@settings(max_examples=30)
@given(st.binary(min_size=3, max_size=3))
def test_a_huge_parameter_set_is_no_attack(seed: bytes) -> None:
    """Counts that claim millions end with the bits, in bounded time."""
    for header in (b"\x67", b"\x68", b"\x42\x01", b"\x44\x01"):
        payload = b"\x00\x00\x01" + header + seed * 20_000
        sound(PacketReader("h264" if len(header) == 1 else "hevc").read(payload, True), payload)
