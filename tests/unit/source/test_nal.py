from __future__ import annotations

import pytest

from pipelines.source.nal import only_parameter_sets

SPS, PPS, SEI, IDR, SLICE = b"\x67a", b"\x68b", b"\x06c", b"\x65dddd", b"\x41eeee"
H265_VPS, H265_IDR = b"\x40\x01a", b"\x26\x01bbb"
AVCC = b"\x01\x64\x00\x1f\xff\xe0\x00"
HVCC = b"\x01" + bytes(20) + b"\x03\x00"


def annex_b(*units: bytes) -> bytes:
    return b"".join(b"\x00\x00\x00\x01" + unit for unit in units)


def prefixed(*units: bytes, size: int = 4) -> bytes:
    return b"".join(len(unit).to_bytes(size, "big") + unit for unit in units)


@pytest.mark.parametrize(
    ("codec", "payload", "extradata", "expected"),
    [
        ("h264", annex_b(SPS, PPS, SEI), None, True),
        ("h264", annex_b(SPS, PPS, IDR), None, False),
        ("h264", annex_b(SLICE), annex_b(SPS, PPS), False),
        ("h264", prefixed(SPS, PPS, SEI), AVCC, True),
        ("h264", prefixed(SEI, SLICE), AVCC, False),
        ("h264", prefixed(SEI, SPS, size=2), AVCC[:4] + b"\xfd" + AVCC[5:], True),
        ("hevc", annex_b(H265_VPS), None, True),
        ("hevc", annex_b(H265_VPS, H265_IDR), None, False),
        ("hevc", prefixed(H265_VPS), HVCC, True),
        ("hevc", prefixed(H265_IDR), HVCC, False),
        ("mjpeg", b"", None, False),
        ("h264", b"", None, False),
        ("h264", b"garbage", None, False),
        ("h264", b"\xff\xff\xff\xff\xff", AVCC, False),
        ("h264", prefixed(SEI)[:-1], AVCC, False),
    ],
)
def test_tells_parameter_sets_from_pictures(
    codec: str, payload: bytes, extradata: bytes | None, expected: bool
) -> None:
    """What is broken is damage, not a parameter set."""
    assert only_parameter_sets(codec, payload, extradata) is expected
