"""What the Kafka sink decides without a broker. (With one: tests/integration/test_kafka.py.)"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipelines.errors import SinkError
from pipelines.sink import kafka
from pipelines.sink.kafka_options import KafkaOptions
from pipelines.sink.tls import TlsOptions
from tests.fakes import record


def options(**changes: object) -> KafkaOptions:
    return KafkaOptions.model_validate({"servers": ["127.0.0.1:1"]} | changes)


async def test_idempotent_batches_never_expire() -> None:
    """aiokafka's own limit would end a producer whose partition has had no leader for a request timeout."""
    producer = await kafka._producer(options())
    try:
        batch = producer._message_accumulator._append_batch(producer._message_accumulator.create_builder(), ("t", 0))

        assert batch._ttl == math.inf
        assert not batch.expired()
    finally:
        producer._closed = True  # it never started: nothing to stop


async def test_missing_tls_file_is_named() -> None:
    with pytest.raises(SinkError, match="absent"):
        await kafka._producer(options(tls=TlsOptions(ca_file=Path("absent.pem"))))


def test_only_configured_topics_are_offered() -> None:
    sink = kafka.KafkaSink(options(), record.PlainEncoder())

    sink.result(record.result())
    sink.health(record.health())
    sink.alert(record.alert())

    assert sink.statistics().offered == 1
    assert not sink.statistics().connected


@pytest.mark.parametrize(
    "wrong",
    [
        {"servers": []},
        {"sasl_mechanism": "PLAIN"},
        {"sasl_mechanism": "PLAIN", "username": "u"},
        {"username": "u", "password": "p"},
        {"compression": "snappy"},
        {"tls": {"cert_file": "c.pem"}},
        {"unknown": 1},
    ],
    ids=lambda wrong: "+".join(wrong),
)
def test_options_that_contradict_themselves_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        options(**wrong)


def test_password_is_not_shown() -> None:
    chosen = options(sasl_mechanism="PLAIN", username="u", password="canary")

    assert "canary" not in f"{chosen!r} {chosen.model_dump_json()}"
