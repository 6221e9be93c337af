"""What an RDMA lane decides without a device: notices, seals, layouts, reasons, options."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from pipelines.errors import LaneError
from pipelines.transport import rdma_auth
from pipelines.transport.answer import AnswerArea
from pipelines.transport.layout import HEADER_BYTES, HeaderArea
from pipelines.transport.rdma_auth import HELLO_BYTES, Seal, Side, body_bytes, check_hello, pack_hello, session_key
from pipelines.transport.rdma_message import (
    RdmaAttached,
    check_layout,
    decode_attach,
    decode_attached,
    encode_attach,
    encode_attached,
)
from pipelines.transport.rdma_notice import MAX_SLOTS, generation_of, pack_notice, payload_bytes_of, slot_of
from pipelines.transport.rdma_options import RdmaOptions
from pipelines.transport.rdma_status import in_words, reason_of
from pipelines.transport.rdma_verbs import Completion, Endpoint, RemoteRegion, gid_of
from pipelines.transport.reader import NO_ROWS
from pipelines.transport.region import RegionLayout
from pipelines.values import AnswerCode
from tests.unit.transport.values import header

SLOTS, GENERATIONS = st.integers(0, MAX_SLOTS - 1), st.integers(0, 2**32 - 1)
REGION = RegionLayout(slots=4, payload_bytes=192, top_k=3)
ENDPOINT = Endpoint(17, 4_000_000, "fe80::1", 0, 3)
ANSWERS = RemoteRegion(1 << 40, 77, REGION.answer_region_bytes)


@given(SLOTS, GENERATIONS)
def test_a_notice_and_what_it_announces_give_slot_and_generation(slot: int, generation: int) -> None:
    notice = pack_notice(slot, generation)
    assert 0 <= notice < 2**32
    assert slot_of(notice) == slot
    for buffer in (packed_header(slot, generation), packed_answer(slot, generation)):
        assert generation_of(notice, buffer, 0) == generation


def test_a_notice_of_another_use_is_not_taken_for_this_one() -> None:
    buffer = packed_answer(1, 5 << 20 | 9)
    assert generation_of(pack_notice(1, 8), buffer, 0) == 8
    assert generation_of(pack_notice(1, 5 << 20 | 9), buffer, 0) == 5 << 20 | 9


def test_the_doorbell_finds_how_long_the_payload_is() -> None:
    assert payload_bytes_of(packed_header(0, 1, size=137), 0) == 137


def packed_header(slot: int, generation: int, size: int = 192) -> bytearray:
    buffer = bytearray(HEADER_BYTES)
    HeaderArea(buffer, 0, 1, slot, size).pack(generation, header(1, size=size))
    return buffer


def packed_answer(slot: int, generation: int) -> bytearray:
    buffer = bytearray(64)
    AnswerArea(buffer, 0, 1, slot, top_k=0).pack(generation, 1, AnswerCode.OK, NO_ROWS)
    return buffer


# --- the seal --------------------------------------------------------------------------------------------------------


def seals(secret: bytes = b"s" * 16, other: bytes = b"s" * 16) -> tuple[Seal, Seal]:
    """(worker's, DPU's)"""
    hellos = pack_hello(b"w" * 32), pack_hello(b"d" * 32)
    return Seal(session_key(secret, *hellos), Side.WORKER), Seal(session_key(other, *hellos), Side.DPU)


def opened(seal: Seal, frame: bytes) -> bytes:
    assert body_bytes(frame[:4]) == len(frame) - 4
    return seal.open(frame[4:])


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5))
def test_what_is_sealed_can_be_opened_in_order(bodies: list[bytes]) -> None:
    worker, dpu = seals()
    frames = [worker.close(body) for body in bodies]
    assert [opened(dpu, frame) for frame in frames] == bodies
    assert opened(worker, dpu.close(b"back")) == b"back"


@given(st.data())
def test_no_changed_bit_gets_through(data: st.DataObject) -> None:
    worker, dpu = seals()
    frame = bytearray(worker.close(b"the region is at 0x1000"))
    bit = data.draw(st.integers(32, len(frame) * 8 - 1))
    frame[bit // 8] ^= 1 << bit % 8
    with pytest.raises(LaneError, match="not sealed with our secret"):
        opened(dpu, bytes(frame))


def test_frames_cannot_be_repeated_left_out_reflected_or_brought_from_elsewhere() -> None:
    worker, dpu = seals()
    first, second = worker.close(b"1"), worker.close(b"2")
    assert opened(dpu, first) == b"1"
    elsewhere = Seal(session_key(b"s" * 16, pack_hello(b"x" * 32), pack_hello(b"d" * 32)), Side.WORKER)
    elsewhere.close(b"")
    for frame in (first, worker.close(b"3"), dpu.close(b"mine"), elsewhere.close(b"2")):
        with pytest.raises(LaneError, match="not sealed"):
            opened(dpu, frame)
    assert opened(dpu, second) == b"2", "a refused frame does not count"


def test_another_secret_opens_nothing() -> None:
    worker, dpu = seals(other=b"t" * 16)
    with pytest.raises(LaneError, match="the same on both sides"):
        opened(dpu, worker.close(b"hello"))


def test_lengths_and_hellos_are_checked() -> None:
    worker, _ = seals()
    with pytest.raises(LaneError, match="does not fit"):
        worker.close(bytes(rdma_auth.MAX_BODY_BYTES + 1))
    for size in (0, 31, 1 << 20):
        with pytest.raises(LaneError, match="announces"):
            body_bytes(size.to_bytes(4, "little"))
    assert len(pack_hello(b"n" * 32)) == HELLO_BYTES
    check_hello(pack_hello(b"n" * 32), "worker")
    with pytest.raises(LaneError, match="does not speak this protocol"):
        check_hello(b"GET / HTTP/1.1\r\n".ljust(HELLO_BYTES), "worker")
    future = bytearray(pack_hello(b"n" * 32))
    future[4] = 9
    with pytest.raises(LaneError, match="version 9"):
        check_hello(bytes(future), "worker")


# --- messages --------------------------------------------------------------------------------------------------------


def test_attach_messages_come_back_as_they_were() -> None:
    asked = decode_attach(encode_attach(REGION, 123, ENDPOINT, ANSWERS))
    check_layout(asked)
    assert (asked.region, asked.epoch, asked.endpoint, asked.answers) == (REGION, 123, ENDPOINT, ANSWERS)
    attached = RdmaAttached(ENDPOINT, ANSWERS, ANSWERS.part(64, 10))
    assert decode_attached(encode_attached(attached)) == attached
    with pytest.raises(LaneError, match="where ATTACHED belongs"):
        decode_attached(encode_attach(REGION, 123, ENDPOINT, ANSWERS))
    with pytest.raises(LaneError, match="cannot be read"):
        decode_attached(encode_attached(attached)[:-1])


@pytest.mark.parametrize("field", ["header_version", "payload_region_bytes", "answer_region_bytes"])
def test_another_layout_is_refused_by_name(field: str) -> None:
    asked = decode_attach(encode_attach(REGION, 1, ENDPOINT, ANSWERS))
    other = dataclasses.replace(asked, **{field: getattr(asked, field) + 1})
    with pytest.raises(LaneError, match="lay out slots differently"):
        check_layout(other)


def test_answers_that_do_not_fit_the_peers_region_are_refused() -> None:
    small = dataclasses.replace(ANSWERS, length_bytes=64)
    with pytest.raises(LaneError, match="answers"):
        check_layout(decode_attach(encode_attach(REGION, 1, ENDPOINT, small)))


# --- reasons and options -------------------------------------------------------------------------------------------


def test_the_cause_is_named_before_what_follows_from_it() -> None:
    flushed, cause = Completion(None, in_words(5), True), Completion(None, in_words(12))
    assert "has not acknowledged" in reason_of([Completion(3), flushed, cause])
    assert "failed before" in reason_of([flushed])
    assert "status 99" in in_words(99)


@pytest.mark.parametrize(("ms", "exponent"), [(0.004, 1), (134.0, 15), (134.3, 16), (60_000, 24)])
def test_the_timeout_is_rounded_up_to_what_the_verbs_know(ms: float, exponent: int) -> None:
    assert options(ack_timeout_ms=ms).ack_timeout_exponent == exponent


@pytest.mark.parametrize("address", ["", "host", ":1", "host:", "host:0", "host:65536", "::1:5", "a b:1"])
def test_an_address_is_host_and_port(address: str) -> None:
    with pytest.raises(ValidationError):
        options(address=address)


def test_a_secret_that_is_none_is_refused() -> None:
    assert options().key() == b"0123456789abcdef"
    with pytest.raises(LaneError, match="give both sides the same"):
        options(secret=SecretStr("short")).key()


def options(**changes: object) -> RdmaOptions:
    given = {"address": "10.0.0.2:7471", "secret": SecretStr("0123456789abcdef")}
    return RdmaOptions.model_validate(given | changes)


@pytest.mark.parametrize(
    ("address", "gid"),
    [
        ("10.77.0.1", "0000:0000:0000:0000:0000:ffff:0a4d:0001"),
        ("fe80::1%eth0", "fe80:0000:0000:0000:0000:0000:0000:0001"),
    ],
)
def test_an_address_is_found_in_a_gid_table(address: str, gid: str) -> None:
    assert gid_of(address) == gid
