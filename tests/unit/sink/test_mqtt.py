"""What the MQTT sink decides without a broker. (With one: tests/integration/test_mqtt.py.)"""

from __future__ import annotations

import asyncio

import pytest
from pydantic import ValidationError

from pipelines.sink.mqtt import MqttOptions, MqttSink
from tests.fakes import record


def options(**changes: object) -> MqttOptions:
    return MqttOptions.model_validate({"host": "127.0.0.1", "port": 1} | changes)


def test_only_alerts_are_counted() -> None:
    """State topics keep no history, so nothing of them can be dropped or wait."""
    sink = MqttSink(options(), record.PlainEncoder())

    sink.alert(record.alert())
    sink.result(record.result())
    sink.health(record.health())

    assert sink.statistics().offered == sink.statistics().waiting == 1


async def test_nothing_to_tell_drains_at_once() -> None:
    sink = MqttSink(options(), record.PlainEncoder())

    async with asyncio.timeout(1):
        await sink.drain(60)


async def test_untold_state_holds_up_the_drain() -> None:
    """The last status of a camera should reach the broker before the process ends."""
    sink = MqttSink(options(), record.PlainEncoder())
    sink.health(record.health())

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await sink.drain(60)


@pytest.mark.parametrize(
    "wrong",
    [
        {"prefix": "a/#"},
        {"prefix": "/a"},
        {"prefix": "a/"},
        {"prefix": "$SYS"},
        {"prefix": ""},
        {"discovery_prefix": "a+"},
        {"password": "p"},
        {"port": 0},
    ],
    ids=lambda wrong: "-".join(f"{key}={value}" for key, value in wrong.items()),
)
def test_options_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        options(**wrong)


def test_password_is_not_shown() -> None:
    chosen = options(username="u", password="canary")

    assert "canary" not in f"{chosen!r} {chosen.model_dump_json()}"
