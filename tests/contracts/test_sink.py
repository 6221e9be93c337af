"""The contract of every sink, whether its peer is there or not (here the brokers are not)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.contracts import Acked, Sink
from pipelines.sink.jsonl import JsonlOptions, JsonlSink
from pipelines.sink.kafka import KafkaSink
from pipelines.sink.kafka_options import KafkaOptions
from pipelines.sink.memory import MemorySink
from pipelines.sink.mqtt import MqttSink
from pipelines.sink.mqtt_options import MqttOptions
from tests.fakes import record

BUFFER = 20
Make = Callable[[Path, Acked], Sink]

SINKS: dict[str, Make] = {
    "memory": lambda directory, acked: MemorySink(acked=acked),
    "jsonl": lambda directory, acked: JsonlSink(
        JsonlOptions(path=directory / "alerts.jsonl", buffer_records=BUFFER), record.PlainEncoder(), acked
    ),
    "jsonl-refused": lambda directory, acked: JsonlSink(
        JsonlOptions(path=directory, buffer_records=BUFFER), record.PlainEncoder(), acked
    ),
    "kafka-away": lambda directory, acked: KafkaSink(
        KafkaOptions(servers=("127.0.0.1:1",), buffer_records=BUFFER), record.PlainEncoder(), acked
    ),
    "mqtt-away": lambda directory, acked: MqttSink(
        MqttOptions(host="127.0.0.1", port=1, buffer_records=BUFFER), record.PlainEncoder(), acked
    ),
}


@pytest.fixture(params=list(SINKS.values()), ids=list(SINKS))
def make(request: pytest.FixtureRequest) -> Make:
    chosen: Make = request.param
    return chosen


def assert_law(sink: Sink) -> None:
    now = sink.statistics()
    assert now.offered == now.acked + now.dropped + now.failed + now.waiting


async def test_offering_never_waits_and_the_law_holds(make: Make, tmp_path: Path) -> None:
    """Also before `run` has begun, and beyond the buffer's bound."""
    acknowledged: list[str] = []
    sink = make(tmp_path, lambda alert, ns: acknowledged.append(alert.task_id))

    for number in range(3 * BUFFER):
        sink.alert(record.alert(number))
        sink.result(record.result(number))
        sink.health(record.health())
        assert_law(sink)

    now = sink.statistics()
    assert now.waiting in (0, BUFFER)
    assert len(acknowledged) <= now.acked


async def test_run_ends_only_by_cancellation_and_drain_keeps_its_deadline(make: Make, tmp_path: Path) -> None:
    acknowledged: list[str] = []
    sink = make(tmp_path, lambda alert, ns: acknowledged.append(alert.task_id))
    running = asyncio.create_task(sink.run())
    for number in range(5):
        sink.alert(record.alert(number))

    async with asyncio.timeout(5):
        await sink.drain(0.2)
    assert not running.done()
    running.cancel()
    await asyncio.wait((running,), timeout=5)

    assert running.cancelled()
    assert_law(sink)
    now = sink.statistics()
    assert now.acked == len(acknowledged)
    assert bool(now.waiting) == bool(now.last_error), "what waits must be explained"
