"""Reading a topic back, with kcat: a client nobody here wrote."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition


@dataclass(frozen=True, slots=True)
class KafkaRecord:
    """One record as kcat saw it."""

    partition: int
    key: str
    value: bytes


async def read_topic(address: str, topic: str, count: int | None = None, timeout_s: float = 30) -> list[KafkaRecord]:
    """All records of a topic from its beginning, in order per partition; ends when all partitions are at their end.

    count: wait for so many records instead (they may not have been written yet). The stand-in broker introduces itself
    in a way that kcat cannot read; there our own client reads.
    """
    if shutil.which("kcat") is None:
        pytest.skip("kcat is not installed (Debian: kcat)")
    command = ["kcat", "-C", "-q", "-b", address, "-t", topic, "-o", "beginning", "-f", r"%p %S %k\n%s\n"]
    command += ["-e"] if count is None else ["-c", str(count)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(timeout_s):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if b"Broker transport failure" in errors:
        async with asyncio.timeout(timeout_s):
            return await _read_ourselves(address, topic, count)
    assert process.returncode == 0, errors.decode()
    return _records(output)


def _records(output: bytes) -> list[KafkaRecord]:
    records = []
    while output:
        head, _, rest = output.partition(b"\n")
        partition, size, key = head.decode().split(" ", 2)
        records.append(KafkaRecord(int(partition), key, rest[: int(size)]))
        output = rest[int(size) + 1 :]
    return records


async def _read_ourselves(address: str, topic: str, count: int | None) -> list[KafkaRecord]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=address, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        wanted = sum((await consumer.end_offsets(partitions)).values()) if count is None else count
        records: list[KafkaRecord] = []
        while len(records) < wanted:
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                records += [KafkaRecord(one.partition, one.key.decode(), one.value) for one in batch]
        return records
    finally:
        await consumer.stop()
