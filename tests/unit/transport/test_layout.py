"""Any valid header survives the slot; anything else is refused by name."""

from __future__ import annotations

import dataclasses
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import LaneError
from pipelines.transport.layout import DTYPES, HEADER_BYTES, HeaderArea
from pipelines.values import SlotHeader
from tests.unit.transport.values import header, headers

u32, u64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
GENERATION = 9


def area_in(buffer: bytearray, capacity_bytes: int = 2**64 - 1) -> HeaderArea:
    return HeaderArea(buffer, 0, epoch=7, slot=3, capacity_bytes=capacity_bytes)


@settings(deadline=None)
@given(u64, u32, u32, st.none() | u32, headers, st.integers(0, 3))
def test_any_valid_header_comes_back(
    epoch: int, slot: int, generation: int, checksum: int | None, sent: SlotHeader, place: int
) -> None:
    buffer = bytearray(b"\xaa" * HEADER_BYTES * 4)
    area = HeaderArea(buffer, place * HEADER_BYTES, epoch, slot, 2**64 - 1)
    area.pack(generation, sent, 11, checksum)
    assert area.unpack(generation) == (sent, checksum)
    outside = buffer[: place * HEADER_BYTES] + buffer[(place + 1) * HEADER_BYTES :]
    assert outside == b"\xaa" * HEADER_BYTES * 3, "it stays within its 256 bytes"


def packed(sent: SlotHeader | None = None) -> bytearray:
    buffer = bytearray(HEADER_BYTES)
    area_in(buffer).pack(GENERATION, sent or header(1), published_ns=11)
    return buffer


@pytest.mark.parametrize(
    ("offset", "field", "value", "says"),
    [
        (0, "4s", b"NOPE", "magic"),
        (4, "<H", 2, "version 2; this side reads version 1"),
        (6, "<H", 128, "128 bytes"),
        (8, "<Q", 6, "epoch 6"),
        (16, "<I", 2, "slot 2"),
        (20, "<I", 8, "generation 8"),
        (64, "<Q", 193, "193 bytes"),
        (72, "4s", b"\xff\xff\xff\xff", "utf-8"),
        (152, "B", 9, "Priority"),
        (153, "B", 99, "99"),
        (154, "B", 7, "7 dimensions"),
        (155, "B", 1, "codec 1"),
        (156, "B", 9, "PixelFormat"),
        (157, "B", 9, "ColorRange"),
        (158, "B", 9, "ColorMatrix"),
    ],
)
def test_a_wrong_field_is_refused_by_name(offset: int, field: str, value: object, says: str) -> None:
    buffer = packed()
    struct.pack_into(field, buffer, offset, value)
    with pytest.raises(LaneError, match=says):
        area_in(buffer, capacity_bytes=192).unpack(GENERATION)


@pytest.mark.parametrize(
    "change",
    [
        {"camera": ""},
        {"camera": "x" * 49},
        {"camera": "ü" * 25},
        {"camera": "a\0b"},
        {"model": "m" * 33},
        {"shape": (1,) * 7},
        {"shape": (2**32,)},
        {"dtype": "complex64"},
        {"task": -1},
        {"payload_bytes": 2**64},
        {"flags": 1 << 16},
    ],
)
def test_a_header_that_does_not_fit_is_not_packed(change: dict[str, object]) -> None:
    with pytest.raises(LaneError):
        packed(dataclasses.replace(header(1), **change))  # type: ignore[arg-type]


def test_the_byte_table_is_the_truth() -> None:
    """Spot checks of offsets that another carrier, or another language, would rely on."""
    buffer = packed(dataclasses.replace(header(0x1122), shape=(3, 5), flags=1))
    assert buffer[0:4] == b"FGSL"
    assert struct.unpack_from("<HHQII", buffer, 4) == (1, 256, 7, 3, 9)
    assert struct.unpack_from("<HHIQ", buffer, 24) == (1, 0, 0, 0x1122)
    assert struct.unpack_from("<Q", buffer, 56) == (11,)
    assert buffer[72:79] == b"gate-7\0"
    assert buffer[153] == dict(DTYPES)["uint8"]
    assert struct.unpack_from("<6I", buffer, 160) == (3, 5, 0, 0, 0, 0)
    assert struct.unpack_from("<8I", buffer, 184) == (1920, 1080, 16, 8, 0, 0, 14, 8)
