"""The broker goes away and comes back: alerts wait for it, and nothing else does."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest

from app.dpu import Dpu
from pipelines.contracts import SinkStatistics
from tests.fakes.scene import Scene, clip
from tests.integration.load import LONG, looped, more_inferred
from tests.integration.pipe import running, until
from tests.integration.test_end_to_end import OPEN_GATES, folded
from tests.servers.kafka import KafkaServer
from tests.servers.kcat import read_topic

OUTAGE_S = 20.0 if LONG else 6.0
CAMERAS = 3
TALKATIVE = {"min_score": 0.5, "keep_score": 0.5, "update_interval_s": 0.2, "end_after_s": 0.5}
"""Some ten records per second, of all three types."""


@pytest.mark.kafka
async def test_alerts_made_while_kafka_is_away_arrive_once_and_in_order(tmp_path: Path, kafka: KafkaServer) -> None:
    if not kafka.idempotent:
        pytest.skip("the stand-in broker forgets what it acknowledged when it is stopped; a real Kafka is needed")
    scene = Scene(seconds=6, width=640, height=360, busy_s=((0.5, 2.5), (3.5, 5.0)))
    topic, lines = f"outage-{os.getpid()}", tmp_path / "alerts.jsonl"
    config = {
        "model": {"detector": str(folded(tmp_path, scene.wh))},
        "cameras": looped(clip(scene).path, CAMERAS, **OPEN_GATES | {"episode": TALKATIVE, "analyse_fps": 10}),
        "sinks": {
            "kafka": {"type": "kafka", "servers": [kafka.address], "topic": topic, "request_timeout_s": 3},
            "lines": {"type": "jsonl", "path": str(lines)},
        },
        "drain_s": 60,
    }
    async with running(tmp_path, config) as dpu:
        await until(lambda: of(dpu, "kafka").acked >= 20, 60, "20 acknowledged records")
        await asyncio.to_thread(kafka.stop)
        try:
            await the_pipe_goes_on(dpu)
        finally:
            await asyncio.to_thread(kafka.start)
        during = of(dpu, "kafka").offered
        await until(lambda: of(dpu, "kafka").acked >= during, 60, "delivery of what was made meanwhile")
        await until(lambda: of(dpu, "kafka").acked >= during + 20, 60, "delivery of what is made now")
    end = of(dpu, "kafka")
    assert (end.dropped, end.failed, end.waiting) == (0, 0, 0)
    records = await read_topic(kafka.address, topic)
    written = [line.encode() for line in lines.read_text().splitlines()]
    assert by_camera(record.value for record in records) == by_camera(written), "the same records, in the same order"
    assert len(records) == len(written) == end.acked
    assert {record.key for record in records} == {f"file{n}" for n in range(CAMERAS)}


async def the_pipe_goes_on(dpu: Dpu) -> None:
    """While the broker is away: frames are answered, the file grows with each alert, Kafka's records wait."""
    before = of(dpu, "kafka"), of(dpu, "lines")
    end = time.monotonic() + OUTAGE_S
    while time.monotonic() < end:
        await more_inferred(dpu, 10)
    kafka, lines = of(dpu, "kafka"), of(dpu, "lines")
    assert lines.acked >= before[1].acked + OUTAGE_S, "at least one record per second was written"
    assert kafka.waiting >= (kafka.offered - before[0].offered) * 0.8
    assert not kafka.connected
    assert kafka.last_error


def of(dpu: Dpu, sink: str) -> SinkStatistics:
    return {one.name: one.statistics() for one in dpu.sinks}[sink]


def by_camera(records: Iterable[bytes]) -> dict[str, list[bytes]]:
    out: dict[str, list[bytes]] = defaultdict(list)
    for record in records:
        out[json.loads(record)["camera_id"]].append(record)
    return dict(out)
