"""The Kafka sink against a real broker, read back with kcat."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pydantic import SecretStr

from pipelines.sink.kafka import KafkaOptions, KafkaSink
from pipelines.sink.tls import TlsOptions
from pipelines.values import Alert
from tests.fakes import record
from tests.servers.kafka import PASSWORD, USER, KafkaServer
from tests.servers.kcat import KafkaRecord, read_topic
from tests.servers.process import free_port

pytestmark = [pytest.mark.kafka]

CAMERAS = tuple(f"cam-{number}" for number in range(8))


@pytest.fixture
def topic() -> str:
    """A topic name of this test alone, also on a broker that outlives the tests."""
    return f"alerts-{secrets.token_hex(6)}"


@pytest.fixture
def mortal_kafka(kafka: KafkaServer) -> Iterator[KafkaServer]:
    """A broker that the test may stop; it is up again for the next one."""
    if kafka.process is None:
        pytest.skip("the given Kafka broker (FRAMEGATE_KAFKA) is not ours to stop")
    yield kafka
    kafka.start()


@asynccontextmanager
async def running(sink: KafkaSink) -> AsyncIterator[KafkaSink]:
    task = asyncio.create_task(sink.run())
    try:
        yield sink
    finally:
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled(), task.exception()


async def until(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


def options(server: KafkaServer, topic: str, **changes: object) -> KafkaOptions:
    return KafkaOptions.model_validate({"servers": (server.address,), "topic": topic, "request_timeout_s": 3} | changes)


def offer(sink: KafkaSink, numbers: Iterable[int]) -> None:
    """One alert per number, cameras in turn."""
    for number in numbers:
        sink.alert(record.alert(number, camera=CAMERAS[number % len(CAMERAS)]))


def by_camera(records: Iterable[KafkaRecord]) -> dict[str, list[int]]:
    """Numbers in order of arrival, per key."""
    numbers = defaultdict(list)
    for one in records:
        numbers[one.key].append(int(json.loads(one.value)["task_id"]))
    return dict(numbers)


def expected(numbers: Iterable[int]) -> dict[str, list[int]]:
    cameras = defaultdict(list)
    for number in numbers:
        cameras[CAMERAS[number % len(CAMERAS)]].append(number)
    return dict(cameras)


def assert_law(sink: KafkaSink) -> None:
    now = sink.statistics()
    assert now.offered == now.acked + now.dropped + now.failed + now.waiting


async def test_alerts_arrive_in_order_under_their_cameras_key(kafka: KafkaServer, topic: str) -> None:
    acknowledged: list[tuple[Alert, int]] = []
    async with running(
        KafkaSink(
            options(kafka, topic, idempotent=kafka.idempotent),
            record.PlainEncoder(),
            acked=lambda alert, ns: acknowledged.append((alert, ns)),
        )
    ) as sink:
        offer(sink, range(400))
        await sink.drain(30)

        assert sink.statistics().acked == 400
        assert sink.statistics().connected
    assert by_camera(await read_topic(kafka.address, topic)) == expected(range(400))
    assert sorted(int(alert.task_id) for alert, _ in acknowledged) == list(range(400))
    assert all(ns > 0 for _, ns in acknowledged)


@pytest.mark.parametrize("compression", ["gzip", "lz4"])
async def test_compressed_batches_are_readable(kafka: KafkaServer, topic: str, compression: str) -> None:
    if compression == "lz4":
        pytest.importorskip("cramjam")
    chosen = options(kafka, topic, compression=compression, linger_ms=20, idempotent=kafka.idempotent)
    async with running(KafkaSink(chosen, record.PlainEncoder())) as sink:
        offer(sink, range(50))
        await sink.drain(30)

    assert by_camera(await read_topic(kafka.address, topic)) == expected(range(50))


async def test_detections_and_health_have_their_own_topics(kafka: KafkaServer, topic: str) -> None:
    chosen = options(
        kafka,
        topic,
        detections_topic=f"{topic}-detections",
        health_topic=f"{topic}-health",
        idempotent=kafka.idempotent,
    )
    async with running(KafkaSink(chosen, record.PlainEncoder())) as sink:
        sink.result(record.result(5))
        sink.health(record.health())
        await sink.drain(30)

    detections = await read_topic(kafka.address, f"{topic}-detections")
    health = await read_topic(kafka.address, f"{topic}-health")
    assert [(one.key, json.loads(one.value)["task"]) for one in detections] == [("door", 5)]
    assert [(one.key, json.loads(one.value)["state"]) for one in health] == [("door", "live")]


async def test_start_while_the_broker_is_down(mortal_kafka: KafkaServer, topic: str) -> None:
    mortal_kafka.stop()
    chosen = options(mortal_kafka, topic, idempotent=mortal_kafka.idempotent)
    async with running(KafkaSink(chosen, record.PlainEncoder())) as sink:
        offer(sink, range(20))
        await until(lambda: sink.statistics().last_error != "")
        down = sink.statistics()
        await asyncio.to_thread(mortal_kafka.start)
        await sink.drain(30)

    assert not down.connected
    assert "KafkaConnectionError" in down.last_error
    assert down.waiting == 20
    assert by_camera(await read_topic(mortal_kafka.address, topic)) == expected(range(20))


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
async def test_broker_away_for_five_seconds_costs_nothing(mortal_kafka: KafkaServer, topic: str, kill: bool) -> None:
    """Alerts go on all the while; each arrives exactly once and in order, also those cut off in mid-flight."""
    async with running(
        KafkaSink(options(mortal_kafka, topic, idempotent=mortal_kafka.idempotent), record.PlainEncoder())
    ) as sink:
        numbers = itertools.count()
        stop = asyncio.Event()

        async def offer_steadily() -> None:
            while not stop.is_set():
                offer(sink, itertools.islice(numbers, 5))
                await asyncio.sleep(0.01)

        offering = asyncio.create_task(offer_steadily())
        await until(lambda: sink.statistics().acked > 50)
        await asyncio.to_thread(mortal_kafka.stop, kill)
        before = sink.statistics()
        await asyncio.sleep(5)
        away = sink.statistics()
        await asyncio.to_thread(mortal_kafka.start)
        await until(lambda: sink.statistics().acked > away.offered)
        stop.set()
        await offering
        await sink.drain(30)
        after = sink.statistics()

    assert away.waiting > 1000, "the outage was not felt"
    assert not away.connected
    assert (after.waiting, after.dropped, after.failed) == (0, 0, 0)
    assert after.connected
    read = by_camera(await read_topic(mortal_kafka.address, topic))
    if mortal_kafka.idempotent:
        assert read == expected(range(after.offered))
    else:
        kept = expected(range(before.offered, after.offered))
        assert {camera: read[camera][-len(numbers_) :] for camera, numbers_ in kept.items()} == kept


async def test_overflow_keeps_the_newest_and_counts_the_rest(mortal_kafka: KafkaServer, topic: str) -> None:
    """The broker is away, the buffer is small: the oldest are given up, none silently."""
    chosen = options(mortal_kafka, topic, buffer_records=100, idempotent=mortal_kafka.idempotent)
    mortal_kafka.stop()
    async with running(KafkaSink(chosen, record.PlainEncoder())) as sink:
        offer(sink, range(1000))
        full = sink.statistics()
        await asyncio.to_thread(mortal_kafka.start)
        await sink.drain(30)

        assert (full.waiting, full.dropped) == (100, 900)
        assert sink.statistics().acked == 100
        assert_law(sink)
    assert by_camera(await read_topic(mortal_kafka.address, topic)) == expected(range(900, 1000))


async def test_refused_batch_ends_the_producer_and_a_fresh_one_goes_on(kafka: KafkaServer, topic: str) -> None:
    """The broker refuses one record for good; its sequence numbers are then out of step, which no producer survives."""
    if not kafka.idempotent:
        pytest.skip("this stand-in broker has no idempotent producer")
    await make_topic(kafka, topic, {"max.message.bytes": "2000"})
    small, large = record.PlainEncoder(), record.PlainEncoder(padding=5000)

    class Encoder(record.PlainEncoder):
        def alert(self, alert: Alert, /) -> bytes:
            return (large if alert.task_id == "10" else small).alert(alert)

    async with running(KafkaSink(options(kafka, topic), Encoder())) as sink:
        for number in range(10):
            sink.alert(record.alert(number))
        await sink.drain(30)
        sink.alert(record.alert(10))
        await asyncio.sleep(0)
        for number in range(11, 40):
            sink.alert(record.alert(number))
            await asyncio.sleep(0.005)
        await sink.drain(30)

        assert "MessageSizeTooLarge" in sink.statistics().last_error
        assert (sink.statistics().failed, sink.statistics().acked, sink.statistics().waiting) == (1, 39, 0)
        assert_law(sink)
    read = by_camera(await read_topic(kafka.address, topic))["door"]
    assert read == [number for number in range(40) if number != 10]


async def test_record_too_large_for_us_fails_without_disturbing_the_producer(kafka: KafkaServer, topic: str) -> None:
    chosen = options(kafka, topic, max_record_bytes=2000, idempotent=kafka.idempotent)
    sink = KafkaSink(chosen, record.PlainEncoder(padding=5000))
    async with running(sink):
        sink.alert(record.alert(0))
        await sink.drain(30)

    assert sink.statistics().failed == 1


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
async def test_login_over_tls(kafka: KafkaServer, topic: str, mechanism: str) -> None:
    secure = kafka.secure
    if secure is None:
        pytest.skip("this broker has no TLS listener with a login")
    chosen = options(
        kafka,
        topic,
        servers=(secure.address,),
        tls=TlsOptions(ca_file=secure.ca_file),
        sasl_mechanism=mechanism,
        username=USER,
        password=PASSWORD,
    )
    async with running(KafkaSink(chosen, record.PlainEncoder())) as sink:
        offer(sink, range(10))
        await sink.drain(30)

    assert by_camera(await read_topic(kafka.address, topic)) == expected(range(10))


async def test_wrong_password_is_reported_and_nothing_is_lost(kafka: KafkaServer, topic: str) -> None:
    secure = kafka.secure
    if secure is None:
        pytest.skip("this broker has no TLS listener with a login")
    chosen = options(
        kafka,
        topic,
        servers=(secure.address,),
        tls=TlsOptions(ca_file=secure.ca_file),
        sasl_mechanism="PLAIN",
        username=USER,
        password=SecretStr("wrong-canary"),
    )
    async with running(KafkaSink(chosen, record.PlainEncoder())) as sink:
        offer(sink, range(3))
        await until(lambda: sink.statistics().last_error != "")

        assert sink.statistics().waiting == 3
        assert not sink.statistics().connected
        assert "wrong-canary" not in sink.statistics().last_error


async def test_stop_does_not_wait_for_an_absent_broker(mortal_kafka: KafkaServer, topic: str) -> None:
    """Batches in flight would keep aiokafka's own stop waiting for ever."""
    now_s = asyncio.get_running_loop().time
    chosen = options(mortal_kafka, topic, idempotent=mortal_kafka.idempotent)
    async with running(KafkaSink(chosen, record.PlainEncoder())) as sink:
        offer(sink, range(8))
        await sink.drain(30)
        await asyncio.to_thread(mortal_kafka.stop)
        offer(sink, range(8, 100))
        await sink.drain(0.2)
        began_s = now_s()
    took_s = now_s() - began_s

    assert sink.statistics().waiting == 92
    assert took_s < 2.5


async def test_nobody_listens_there(topic: str) -> None:
    chosen = KafkaOptions(servers=(f"127.0.0.1:{free_port()}",), topic=topic)
    async with running(KafkaSink(chosen, record.PlainEncoder())) as sink:
        sink.alert(record.alert())
        await until(lambda: "KafkaConnectionError" in sink.statistics().last_error)

    assert sink.statistics().waiting == 1


async def make_topic(server: KafkaServer, topic: str, configs: dict[str, str]) -> None:
    """Create a topic with one partition and these settings."""
    admin = AIOKafkaAdminClient(bootstrap_servers=server.address)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1, topic_configs=configs)])
    finally:
        await admin.close()
