"""The MQTT sink against a real mosquitto, heard with mosquitto_sub."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from pipelines.sink.mqtt import MqttOptions, MqttSink
from pipelines.sink.tls import TlsOptions
from pipelines.values import Alert, AlertType, CameraState
from tests.fakes import record
from tests.servers.mosquitto import PASSWORD, USER, MosquittoServer
from tests.servers.mosquitto_sub import Heard, listening
from tests.servers.process import free_port

pytestmark = [pytest.mark.mqtt]

_prefix_numbers = itertools.count()


@pytest.fixture
def prefix() -> str:
    """A topic prefix of this test alone."""
    return f"fg{next(_prefix_numbers)}"


def options(server: MosquittoServer, prefix: str, **changes: object) -> MqttOptions:
    base = {"host": server.host, "port": server.port, "prefix": prefix, "timeout_s": 3}
    return MqttOptions.model_validate(base | changes)


@asynccontextmanager
async def running(sink: MqttSink) -> AsyncIterator[MqttSink]:
    task = asyncio.create_task(sink.run())
    try:
        yield sink
    finally:
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled(), task.exception()


async def until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


def numbers(heard: Heard, prefix: str) -> list[int]:
    """Numbers of the alerts heard, in order."""
    return [int(json.loads(payload)["after"]["task_id"]) for payload in heard.payloads(f"{prefix}/events")]


async def test_an_episode_is_told_as_new_update_end(mosquitto: MosquittoServer, prefix: str) -> None:
    acknowledged: list[Alert] = []
    sink = MqttSink(options(mosquitto, prefix), record.PlainEncoder(), lambda alert, _: acknowledged.append(alert))
    async with listening(mosquitto, f"{prefix}/#") as heard, running(sink):
        for number, type_ in enumerate((AlertType.NEW, AlertType.UPDATE, AlertType.END)):
            sink.alert(record.alert(number, type=type_, event_id="e"))
        await sink.drain(10)
        await heard.until(lambda: len(numbers(heard, prefix)) == 3)
        events = [json.loads(payload) for payload in heard.payloads(f"{prefix}/events")]

    assert [event["type"] for event in events] == ["new", "update", "end"]
    assert [event["before"]["task_id"] for event in events] == ["0", "0", "1"]
    assert [event["after"]["task_id"] for event in events] == ["0", "1", "2"]
    assert [alert.task_id for alert in acknowledged] == ["0", "1", "2"]


async def test_state_is_retained_for_whoever_comes_later(mosquitto: MosquittoServer, prefix: str) -> None:
    async with running(MqttSink(options(mosquitto, prefix), record.PlainEncoder())) as sink:
        sink.health(record.health("door", CameraState.CONNECTING))
        sink.health(record.health("door", CameraState.LIVE))
        sink.alert(record.alert(classes=("person", "person", "car")))
        await sink.drain(10)
        async with listening(mosquitto, f"{prefix}/#") as heard:
            retained = {message.topic: message.payload for message in heard.messages if message.retained}

    assert retained.pop(f"{prefix}/door/health")
    assert retained == {
        f"{prefix}/available": "online",
        f"{prefix}/door/status": "online",
        f"{prefix}/door/person": "2",
        f"{prefix}/door/car": "1",
    }


async def test_stopping_says_offline(mosquitto: MosquittoServer, prefix: str) -> None:
    async with listening(mosquitto, f"{prefix}/available") as heard:
        async with running(MqttSink(options(mosquitto, prefix), record.PlainEncoder())):
            await heard.until(lambda: heard.payloads(f"{prefix}/available") == ["online"])
        await heard.until(lambda: heard.payloads(f"{prefix}/available") == ["online", "offline"])


_VICTIM = """
import asyncio, sys
from pipelines.sink.mqtt import MqttOptions, MqttSink
from tests.fakes import record
host, port, prefix = sys.argv[1:]
asyncio.run(MqttSink(MqttOptions(host=host, port=int(port), prefix=prefix), record.PlainEncoder()).run())
"""


async def test_last_will_is_published_when_the_process_is_killed(mosquitto: MosquittoServer, prefix: str) -> None:
    async with listening(mosquitto, f"{prefix}/available") as heard:
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-c", _VICTIM, mosquitto.host, str(mosquitto.port), prefix]
        )
        try:
            await heard.until(lambda: heard.payloads(f"{prefix}/available") == ["online"])
        finally:
            process.kill()
            await process.wait()
        await heard.until(lambda: heard.payloads(f"{prefix}/available") == ["online", "offline"])


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
async def test_broker_away_costs_nothing(mosquitto: MosquittoServer, prefix: str, kill: bool) -> None:
    """Everything buffered arrives when it is back, in order; what was not acknowledged may come twice."""
    status = f"{prefix}/door/status"
    sink = MqttSink(options(mosquitto, prefix), record.PlainEncoder())
    async with listening(mosquitto, f"{prefix}/#", session=prefix) as heard, running(sink):
        sink.health(record.health())
        for number in range(100):
            sink.alert(record.alert(number))
        await heard.until(lambda: len(numbers(heard, prefix)) >= (100 if kill else 20))
        if kill:  # a killed broker forgets what it had acknowledged and not yet saved: that is not ours to mend
            await sink.drain(10)
            await heard.until(lambda: heard.payloads(status) == ["online"])
            mosquitto.save()
        mosquitto.stop(kill)
        try:
            await until(lambda: not sink.statistics().connected and sink.statistics().last_error != "")
            for number in range(100, 400):
                sink.alert(record.alert(number))
            away = sink.statistics()
        finally:
            mosquitto.start()
        await sink.drain(20)
        after = sink.statistics()
        await heard.until(lambda: 399 in numbers(heard, prefix))
        received = numbers(heard, prefix)
        await heard.until(lambda: len(heard.payloads(status)) >= 2)

    assert away.waiting >= 300
    assert (after.acked, after.waiting, after.dropped) == (400, 0, 0)
    assert list(dict.fromkeys(received)) == list(range(400))
    assert len(received) <= 400 + 2 * options(mosquitto, prefix).in_flight


async def test_start_while_the_broker_is_down(mosquitto: MosquittoServer, prefix: str) -> None:
    mosquitto.stop()
    try:
        sink = MqttSink(options(mosquitto, prefix), record.PlainEncoder())
        async with running(sink):
            sink.alert(record.alert(7))
            await until(lambda: sink.statistics().last_error != "")
            mosquitto.start()
            await sink.drain(20)
    finally:
        mosquitto.start()

    assert sink.statistics().acked == 1


async def test_many_events_are_in_flight_together_and_stay_in_order(mosquitto: MosquittoServer, prefix: str) -> None:
    async with listening(mosquitto, f"{prefix}/events") as heard:
        async with running(MqttSink(options(mosquitto, prefix), record.PlainEncoder())) as sink:
            for number in range(1000):
                sink.alert(record.alert(number))
            await sink.drain(20)
        await heard.until(lambda: len(heard.messages) == 1000)

    assert numbers(heard, prefix) == list(range(1000))


async def test_login_over_tls(secure_mosquitto: MosquittoServer, prefix: str) -> None:
    certificates = secure_mosquitto.certificates
    assert certificates is not None
    chosen = options(
        secure_mosquitto, prefix, username=USER, password=PASSWORD, tls=TlsOptions(ca_file=certificates.ca)
    )
    async with listening(secure_mosquitto, f"{prefix}/events") as heard:
        async with running(MqttSink(chosen, record.PlainEncoder())) as sink:
            sink.alert(record.alert(3))
            await sink.drain(10)
        await heard.until(lambda: numbers(heard, prefix) == [3])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves the socket to the GC
@pytest.mark.parametrize("wrong", [{"password": "wrong-canary"}, {"tls": TlsOptions()}], ids=["password", "authority"])
async def test_refusal_is_reported_and_nothing_is_lost(
    secure_mosquitto: MosquittoServer, prefix: str, wrong: dict[str, object]
) -> None:
    certificates = secure_mosquitto.certificates
    assert certificates is not None
    right: dict[str, object] = {"username": USER, "password": PASSWORD, "tls": TlsOptions(ca_file=certificates.ca)}
    async with running(MqttSink(options(secure_mosquitto, prefix, **(right | wrong)), record.PlainEncoder())) as sink:
        sink.alert(record.alert())
        await until(lambda: sink.statistics().last_error != "")

        assert any(word in sink.statistics().last_error.lower() for word in ("not authorized", "certificate"))
        assert "canary" not in sink.statistics().last_error
        assert sink.statistics().waiting == 1


async def test_home_assistant_finds_cameras_and_counts(mosquitto: MosquittoServer, prefix: str) -> None:
    chosen = options(mosquitto, prefix, discovery=True, discovery_prefix=f"{prefix}-ha")
    async with running(MqttSink(chosen, record.PlainEncoder())) as sink:
        sink.health(record.health("door"))
        sink.alert(record.alert())
        await sink.drain(10)
        async with listening(mosquitto, f"{prefix}-ha/#") as heard:
            configs = {message.topic: json.loads(message.payload) for message in heard.messages if message.retained}

    count = configs[f"{prefix}-ha/sensor/{prefix}_door_person_count/config"]
    assert count["state_topic"] == f"{prefix}/door/person"
    assert count["availability_topic"] == f"{prefix}/available"
    assert len(configs) == 3


async def test_nobody_listens_there(prefix: str) -> None:
    chosen = MqttOptions(host="127.0.0.1", port=free_port(), prefix=prefix)
    async with running(MqttSink(chosen, record.PlainEncoder())) as sink:
        sink.alert(record.alert())
        await until(lambda: sink.statistics().last_error != "")

    assert sink.statistics().waiting == 1
