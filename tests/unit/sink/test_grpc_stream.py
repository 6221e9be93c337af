"""The gRPC sink, with a real server and a real channel on the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from pydantic import ValidationError

from pipelines.event.protobuf import ProtobufEncoder
from pipelines.schema import framegate_pb2 as pb
from pipelines.sink.grpc_stream import GrpcOptions, GrpcSink
from tests.fakes.record import alert, health, result

METHOD = "/framegate.v1.Alerts/Subscribe"
Call = grpc.aio.UnaryStreamCall[pb.SubscribeRequest, pb.Alert]


def make(**options: object) -> GrpcSink:
    return GrpcSink(GrpcOptions.model_validate({"port": 0} | options), ProtobufEncoder())


@asynccontextmanager
async def running(sink: GrpcSink) -> AsyncIterator[GrpcSink]:
    task = asyncio.create_task(sink.run())
    try:
        async with asyncio.timeout(10):
            while sink.port is None:
                await asyncio.sleep(0)
        yield sink
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@asynccontextmanager
async def channel(sink: GrpcSink) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{sink.port}") as made:
        yield made


async def subscribe(to: grpc.aio.Channel, token: str | None = None, **wants: object) -> Call:
    """A call that the server has accepted."""
    method = to.unary_stream(
        METHOD,
        request_serializer=pb.SubscribeRequest.SerializeToString,
        response_deserializer=pb.Alert.FromString,
    )
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    call: Call = method(pb.SubscribeRequest(**wants), metadata=metadata)  # type: ignore[arg-type]
    await call.initial_metadata()
    return call


async def read(call: Call) -> str:
    message = await asyncio.wait_for(call.read(), 5)
    assert isinstance(message, pb.Alert)
    return message.task_id


async def code(call: Call) -> grpc.StatusCode:
    return await asyncio.wait_for(call.code(), 5)


async def test_alerts_reach_all_who_want_them() -> None:
    async with running(make()) as sink, channel(sink) as wire:
        everybody, yard = await subscribe(wire), await subscribe(wire, cameras=["yard"])
        sink.alert(alert(1, camera="door"))
        sink.alert(alert(2, camera="yard"))
        sink.result(result())
        sink.health(health())

        assert [await read(everybody), await read(everybody), await read(yard)] == ["1", "2", "2"]
        await sink.drain(5)
        figures = sink.statistics()
        assert (figures.offered, figures.acked, figures.waiting, figures.connected) == (3, 3, 0, True)


async def test_the_past_on_request() -> None:
    async with running(make()) as sink, channel(sink) as wire:
        for number in range(3):
            sink.alert(alert(number))
        call = await subscribe(wire, since_ms=alert(1).time_ms)
        sink.alert(alert(3))

        assert [await read(call) for _ in range(3)] == ["1", "2", "3"]


async def test_a_subscriber_that_reads_nothing_costs_only_itself() -> None:
    """Transport windows fill, then its queue, then the oldest are dropped; the reader beside it gets all."""
    padding = "x" * 20_000
    async with running(make(queue_records=4)) as sink, channel(sink) as wire, channel(sink) as other:
        slow, quick = await subscribe(wire), await subscribe(other)
        number = 0
        while sink.statistics().dropped < 20:
            sink.alert(alert(number, classes=(padding,)))
            assert await read(quick) == str(number)
            number += 1
            assert number < 5000, "nothing was dropped: who holds 100 MB?"
        figures = sink.statistics()

        assert figures.offered == 2 * number == figures.acked + figures.dropped + figures.waiting
        slow.cancel()
        async with asyncio.timeout(5):
            while sink.statistics().failed == 0:
                await asyncio.sleep(0.001)
        figures = sink.statistics()
        assert figures.offered == figures.acked + figures.dropped + figures.failed


async def test_stop_tells_the_subscribers() -> None:
    sink = make()
    async with contextlib.AsyncExitStack() as stack:
        async with running(sink):
            call = await subscribe(await stack.enter_async_context(channel(sink)))
        assert await code(call) is grpc.StatusCode.UNAVAILABLE
        assert "again" in await call.details()
    assert not sink.statistics().connected


async def test_drain_gives_up_at_its_deadline() -> None:
    padding = "x" * 200_000
    async with running(make()) as sink, channel(sink) as wire:
        await subscribe(wire)
        for number in range(100):
            sink.alert(alert(number, classes=(padding,)))

        await asyncio.wait_for(sink.drain(0.05), 5)

        assert sink.statistics().waiting > 0


async def test_too_many_subscribers() -> None:
    async with running(make(max_subscribers=1)) as sink, channel(sink) as wire:
        await subscribe(wire)
        assert await code(await subscribe(wire)) is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(("token", "accepted"), [("open sesame", True), ("open sesamf", False), (None, False)])
async def test_token(token: str | None, accepted: bool) -> None:
    async with running(make(token="open sesame")) as sink, channel(sink) as wire:
        call = await subscribe(wire, token)
        sink.alert(alert(7))
        if accepted:
            assert await read(call) == "7"
        else:
            assert await code(call) is grpc.StatusCode.UNAUTHENTICATED


async def test_a_taken_port_is_an_error_seen_and_then_healed() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        sink = make(port=taken.getsockname()[1], retry_s=0.01)
        task = asyncio.create_task(sink.run())
        async with asyncio.timeout(5):
            while not sink.statistics().last_error:
                await asyncio.sleep(0.001)
        assert not sink.statistics().connected
        sink.alert(alert(1))
    async with asyncio.timeout(5):
        while sink.port is None:
            await asyncio.sleep(0.001)
    async with channel(sink) as wire:
        assert await read(await subscribe(wire, since_ms=1)) == "1"
    assert sink.statistics().last_error == ""
    task.cancel()
    await asyncio.wait([task])


async def test_two_processes_do_not_share_a_port() -> None:
    """Sockets that reuse ports would let each have half of the subscribers without a word."""
    async with running(make()) as first:
        second = make(port=first.port, retry_s=60)
        task = asyncio.create_task(second.run())
        async with asyncio.timeout(5):
            while not second.statistics().last_error:
                assert second.port is None
                await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for localhost: (certificate, key)."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, *names, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


async def test_tls_with_client_certificates(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "server")
    client_cert, client_key = certificate(tmp_path, "client")
    sink = make(tls={"cert_file": cert, "key_file": key, "client_ca_file": client_cert})
    ours = grpc.ssl_channel_credentials(cert.read_bytes(), client_key.read_bytes(), client_cert.read_bytes())
    async with running(sink):
        sink.alert(alert(1))
        async with grpc.aio.secure_channel(f"localhost:{sink.port}", ours) as wire:
            assert await read(await subscribe(wire, since_ms=1)) == "1"
        nobody = grpc.ssl_channel_credentials(cert.read_bytes())
        async with grpc.aio.secure_channel(f"localhost:{sink.port}", nobody) as wire:
            assert await code(await subscribe(wire)) is grpc.StatusCode.UNAVAILABLE


async def test_a_missing_certificate_is_named() -> None:
    sink = make(tls={"cert_file": "/nowhere/cert.pem", "key_file": "/nowhere/key.pem"}, retry_s=60)
    task = asyncio.create_task(sink.run())
    async with asyncio.timeout(5):
        while not sink.statistics().last_error:
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    assert "/nowhere/key.pem" in sink.statistics().last_error


def test_the_call_has_the_name_that_others_generate(tmp_path: Path) -> None:
    """A consumer takes the .proto and its own generator."""
    schema = Path(__file__).parents[3] / "configs" / "schema"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={schema}", f"--grpc_python_out={tmp_path}"]
    subprocess.run([*command, "framegate.proto"], check=True)

    assert f"'{METHOD}'" in (tmp_path / "framegate_pb2_grpc.py").read_text()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"host": "0.0.0.0", "token": "12345678"}, "set tls"),
        ({"host": "0.0.0.0", "allow_plaintext": True}, "set token"),
        ({"host": "cam.example", "tls": {"cert_file": "a", "key_file": "b"}}, "set token"),
        ({"token": "short"}, "at least 8"),
    ],
)
def test_listening_beyond_this_machine_wants_tls_and_a_token(options: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        GrpcOptions.model_validate(options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"host": "::1"},
        {"host": "localhost"},
        {"host": "0.0.0.0", "allow_plaintext": True, "token": "12345678"},
        {"host": "0.0.0.0", "tls": {"cert_file": "a", "key_file": "b", "client_ca_file": "c"}},
    ],
)
def test_safe_options(options: dict[str, object]) -> None:
    GrpcOptions.model_validate(options)


def test_the_token_does_not_show() -> None:
    assert "canary-token" not in repr(GrpcOptions.model_validate({"token": "canary-token"}))


def test_every_option_is_documented() -> None:
    assert [name for name, field in GrpcOptions.model_fields.items() if not field.description] == []
