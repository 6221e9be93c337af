"""Facts of packets are those that FFmpeg reads, whatever the dialect."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.gate.bitstream import PacketFacts, PacketReader
from pipelines.gate.bitstream_bits import SliceType
from tests.unit.gate.encodes import Dialect, Encoded, encoded, start_codes_to_lengths, values

PLAIN = Dialect("h264", "qp=23:ipratio=1:keyint=7:bframes=0")
PLAIN_HEVC = Dialect("hevc", "qp=23:ipratio=1:keyint=7:bframes=0")
B_FRAMES = Dialect("h264", "crf=23:keyint=12:bframes=3:b-adapt=0:b-pyramid=normal:weightb=1:ref=4", "medium")
B_FRAMES_HEVC = Dialect("hevc", "crf=23:keyint=12:bframes=3:b-adapt=0:b-pyramid=1:weightb=1:weightp=1:ref=4", "medium")
REFRESH = Dialect("h264", "crf=23:keyint=5:bframes=0:intra-refresh=1")
CBR = Dialect("h264", "bitrate=200:vbv-maxrate=200:vbv-bufsize=100:nal-hrd=cbr:keyint=7:bframes=0:qpmin=44")
DIALECTS = {
    "h264": PLAIN,
    "h264-avcc": replace(PLAIN, length_prefixed=True),
    "h264-b-frames-weights": B_FRAMES,
    "h264-open-gop": Dialect("h264", "crf=23:keyint=5:bframes=2:open-gop=1", "slow", length_prefixed=True),
    "h264-cbr-filler": CBR,
    "h264-slices": Dialect("h264", "crf=23:slices=4:keyint=7"),
    "h264-baseline": Dialect("h264", "crf=23:keyint=7:cabac=0:8x8dct=0:weightp=0", profile="baseline"),
    "h264-main": Dialect("h264", "crf=23:keyint=7", profile="main"),
    "h264-interlaced": Dialect("h264", "crf=23:keyint=7:interlaced=1:bframes=2", "medium"),
    "h264-refresh": REFRESH,
    "h264-10-bit": Dialect("h264", "crf=23:keyint=7", pixel_format="yuv420p10le"),
    "h264-444": Dialect("h264", "crf=23:keyint=7:cqm=jvt", pixel_format="yuv444p"),
    "h264-grey": Dialect("h264", "crf=23:keyint=7:weightp=2", "medium", pixel_format="gray"),
    "hevc": PLAIN_HEVC,
    "hevc-hvcc": replace(PLAIN_HEVC, length_prefixed=True),
    "hevc-b-frames-weights": B_FRAMES_HEVC,
    "hevc-open-gop": Dialect("hevc", "crf=23:keyint=5:open-gop=1:bframes=2", "medium", length_prefixed=True),
    "hevc-cbr": Dialect("hevc", "bitrate=300:vbv-maxrate=300:vbv-bufsize=300:strict-cbr=1:hrd=1:keyint=7"),
    "hevc-layers": Dialect("hevc", "crf=23:keyint=12:temporal-layers=3:bframes=3:b-adapt=0"),
    "hevc-scaling": Dialect("hevc", "crf=23:keyint=7:scaling-list=default:no-sao=1:amp=1:rect=1"),
    "hevc-10-bit": Dialect("hevc", "crf=23:keyint=7", pixel_format="yuv420p10le"),
    "hevc-444": Dialect("hevc", "crf=23:keyint=7:weightp=1", pixel_format="yuv444p"),
    "hevc-grey": Dialect("hevc", "crf=23:keyint=7:sao=1", pixel_format="gray"),
}
FILLER = {"h264": b"\x0c" + b"\xff" * 200 + b"\x80", "hevc": b"\x4c\x01" + b"\xff" * 200 + b"\x80"}
KEY_TYPES = {"h264": (5,), "hevc": tuple(range(16, 24))}
START = b"\x00\x00\x01"


def facts_of(clip: Encoded, reader: PacketReader | None = None) -> list[PacketFacts]:
    reader = reader or PacketReader(clip.codec, clip.extradata)
    return [reader.read(memoryview(packet), key) for packet, key in zip(clip.packets, clip.keys, strict=True)]


def slices_of(packet: bytes, codec: str) -> list[bytes]:
    """Slice NAL units of an Annex B packet."""
    units = [unit.rstrip(b"\x00") for unit in packet.split(START)]
    kinds = [(u[0] & 31 if codec == "h264" else u[0] >> 1 & 63) if u else 99 for u in units]
    most = 5 if codec == "h264" else 31
    return [u for u, kind in zip(units, kinds, strict=True) if kind <= most]


@pytest.mark.parametrize("name", DIALECTS)
def test_type_and_qp_are_those_that_ffmpeg_reads(name: str) -> None:
    clip = encoded(DIALECTS[name])
    names = "pbipi" if clip.codec == "h264" else "bpi"
    init_qp, wanted = 0, []
    for headers in clip.headers:
        init_qp = (
            26 + (values(headers, "init_qp_minus26") or values(headers, "pic_init_qp_minus26") or [init_qp - 26])[-1]
        )
        wanted.append((names[values(headers, "slice_type")[0] % 5], init_qp + values(headers, "slice_qp_delta")[0]))

    facts = facts_of(clip)

    assert [(f.slice_type, f.qp) for f in facts] == wanted
    assert len(facts) == DIALECTS[name].frames


@pytest.mark.parametrize("name", DIALECTS)
def test_key_and_reference_are_those_of_the_nal_header(name: str) -> None:
    clip = encoded(DIALECTS[name])
    for fact, headers, key in zip(facts_of(clip), clip.headers, clip.keys, strict=True):
        types = values(headers, "nal_unit_type")
        random_access = any(t in KEY_TYPES[clip.codec] for t in types)
        recovery_on_intra = key and fact.slice_type is SliceType.I
        assert fact.is_key == (random_access or recovery_on_intra)
        if clip.codec == "h264":
            assert fact.is_reference == any(
                values(headers, "nal_ref_idc")[types.index(t)] for t in types if t in (1, 5)
            )
        else:
            assert fact.is_reference == (not any(t < 16 and t % 2 == 0 for t in types))


@pytest.mark.parametrize("dialect", [PLAIN, PLAIN_HEVC])
def test_a_fixed_qp_is_the_qp(dialect: Dialect) -> None:
    assert {fact.qp for fact in facts_of(encoded(dialect))} == {23}


@pytest.mark.parametrize("name", [n for n, d in DIALECTS.items() if not d.length_prefixed])
def test_payload_is_the_slices_and_nothing_else(name: str) -> None:
    """To the byte for one slice; with start codes between several, and what stands between them."""
    clip = encoded(DIALECTS[name])
    for fact, packet in zip(facts_of(clip), clip.packets, strict=True):
        slices = slices_of(packet, clip.codec)
        assert 0 <= fact.payload_bytes - sum(map(len, slices)) <= 5 * (len(slices) - 1)


@pytest.mark.parametrize("dialect", [PLAIN, PLAIN_HEVC, B_FRAMES, B_FRAMES_HEVC, CBR])
@pytest.mark.parametrize("length_bytes", [2, 4])
def test_length_prefixes_say_the_same_as_start_codes(dialect: Dialect, length_bytes: int) -> None:
    clip = encoded(dialect)
    extradata = bytearray(encoded(replace(dialect, length_prefixed=True)).extradata)
    extradata[4 if clip.codec == "h264" else 21] = 0xFC | (length_bytes - 1)
    lengths = tuple(start_codes_to_lengths(packet, length_bytes) for packet in clip.packets)

    assert facts_of(replace(clip, extradata=bytes(extradata), packets=lengths)) == facts_of(clip)


@pytest.mark.parametrize("length_bytes", [2, 4])
@pytest.mark.parametrize("dialect", [PLAIN, PLAIN_HEVC])
def test_parameter_sets_of_the_extradata_suffice(dialect: Dialect, length_bytes: int) -> None:
    """mp4 keeps them out of the packets."""
    clip = encoded(replace(dialect, length_prefixed=True))
    assert not any(fact.has_parameter_sets for fact in facts_of(clip))
    assert {fact.qp for fact in facts_of(clip)} == {23}


@pytest.mark.parametrize("dialect", [PLAIN, PLAIN_HEVC])
@pytest.mark.parametrize("padding", [b"", b"\x00"])
def test_filler_does_not_count(dialect: Dialect, padding: bytes) -> None:
    clip = encoded(dialect)
    filler = START + FILLER[clip.codec]
    filled = tuple(packet + padding + filler + padding + filler for packet in clip.packets)

    assert facts_of(replace(clip, packets=filled)) == facts_of(clip)


def test_further_segments_of_a_picture_only_add_their_size() -> None:
    clip = encoded(PLAIN_HEVC)
    further = bytearray(slices_of(clip.packets[3], "hevc")[0])
    further[2] &= 0x7F  # first_slice_segment_in_pic_flag
    reader = PacketReader("hevc", clip.extradata)
    alone = reader.read(clip.packets[3], False)

    both = reader.read(clip.packets[3] + START + further, False)

    assert both == replace(alone, payload_bytes=alone.payload_bytes + len(START + further))


@pytest.mark.parametrize("dialect", [PLAIN, PLAIN_HEVC])
def test_filler_does_not_count_behind_lengths(dialect: Dialect) -> None:
    clip = encoded(replace(dialect, length_prefixed=True))
    filler = FILLER[clip.codec]
    filled = tuple(packet + len(filler).to_bytes(4, "big") + filler for packet in clip.packets)

    assert facts_of(replace(clip, packets=filled)) == facts_of(clip)


def test_an_encoder_that_fills_has_filler_in_this_test() -> None:
    clip = encoded(CBR)

    assert sum(map(len, clip.packets)) > 2 * sum(fact.payload_bytes for fact in facts_of(clip))


def test_zero_words_and_trailing_zeros_do_not_count() -> None:
    clip = encoded(PLAIN)
    for tail in (b"\x00\x00\x03" * 5, b"\x00" * 4):
        padded = tuple(packet + tail for packet in clip.packets)
        assert facts_of(replace(clip, packets=padded)) == facts_of(clip)


def test_slice_data_that_looks_like_filler_counts() -> None:
    clip = encoded(PLAIN)
    packet = clip.packets[3] + b"\x0c\xff\xff\x80"

    reader = PacketReader("h264", clip.extradata)

    assert reader.read(packet, False).payload_bytes == reader.read(clip.packets[3], False).payload_bytes + 4


def test_disposable_pictures_are_told_from_references() -> None:
    for dialect in (B_FRAMES, B_FRAMES_HEVC):
        facts = facts_of(encoded(dialect))
        assert {f.is_reference for f in facts if f.slice_type is SliceType.B} == {True, False}
        assert {f.is_reference for f in facts if f.slice_type is not SliceType.B} == {True}


def test_intra_refresh_has_recovery_points_but_no_further_key() -> None:
    """The demuxer calls these packets key frames; a decoder cannot start there with a whole picture."""
    clip = encoded(REFRESH)
    facts = facts_of(clip)

    assert sum(clip.keys) > 1
    assert [fact.is_key for fact in facts] == [True] + [False] * (len(facts) - 1)
    assert any((fact.recovery_frames or 0) > 0 for fact in facts)


def test_new_parameter_sets_in_mid_stream_are_used_from_there() -> None:
    first, second = encoded(DIALECTS["h264-10-bit"]), encoded(DIALECTS["h264-baseline"])
    reader = PacketReader("h264", first.extradata)
    assert facts_of(first, reader) == facts_of(first)

    assert facts_of(second, reader) == facts_of(second)
    assert facts_of(second, reader)[0].has_parameter_sets


def test_without_parameter_sets_the_qp_is_unknown_and_counted() -> None:
    clip = encoded(PLAIN)
    reader = PacketReader("h264")

    fact = reader.read(clip.packets[3], False)

    assert (fact.qp, fact.slice_type, fact.is_reference) == (None, SliceType.P, True)
    assert fact.payload_bytes == facts_of(clip)[3].payload_bytes
    assert reader.unread == 1


def test_screen_content_has_no_qp() -> None:
    """Its slice headers have fields that nothing here reads: better none than a wrong one."""
    clip = encoded(PLAIN_HEVC)
    at = clip.extradata.index(b"\x42\x01") + 3  # profile_tier_level
    profile_9 = clip.extradata[:at] + bytes([clip.extradata[at] & 0xE0 | 9]) + clip.extradata[at + 1 :]
    reader = PacketReader("hevc", profile_9)

    assert PacketReader("hevc", clip.extradata).read(clip.packets[3], False).qp == 23
    assert reader.read(clip.packets[3], False).qp is None


def test_a_packet_of_parameter_sets_only_has_no_picture() -> None:
    clip = encoded(PLAIN)
    reader = PacketReader("h264")

    fact = reader.read(clip.extradata, True)

    assert fact == PacketFacts(0, False, None, None, None, None, True)
    assert reader.read(clip.packets[3], False).qp == 23


def test_other_codecs_have_a_size_and_what_the_demuxer_says() -> None:
    assert PacketReader("mjpeg").read(b"abc", True) == PacketFacts(3, True, None, None, None, None, False)
