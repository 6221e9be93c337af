"""JSON lines: whole lines, rotation, a full disk, and paths that cannot be."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import SinkError
from pipelines.sink.jsonl import JsonlOptions, JsonlSink, LineFile
from tests.fakes import record


@asynccontextmanager
async def running(sink: JsonlSink) -> AsyncIterator[JsonlSink]:
    task = asyncio.create_task(sink.run())
    try:
        yield sink
    finally:
        task.cancel()
        await asyncio.wait((task,))


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """Every file of this process stops growing there, in the middle of a write: as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_each_kind_of_record_goes_to_its_own_file(tmp_path: Path) -> None:
    options = JsonlOptions(
        path=tmp_path / "new" / "alerts.jsonl",
        detections_path=tmp_path / "detections.jsonl",
        health_path=tmp_path / "health.jsonl",
    )
    acknowledged: list[str] = []
    async with running(JsonlSink(options, record.PlainEncoder(), lambda a, _: acknowledged.append(a.task_id))) as sink:
        for number in range(3):
            sink.alert(record.alert(number))
        sink.result(record.result(8))
        sink.health(record.health())
        await sink.drain(5)

    assert [line["task_id"] for line in lines(options.path)] == ["0", "1", "2"] == acknowledged
    assert [line["task"] for line in lines(tmp_path / "detections.jsonl")] == [8]
    assert [line["state"] for line in lines(tmp_path / "health.jsonl")] == ["live"]
    assert sink.statistics().acked == sink.statistics().offered == 5


async def test_records_without_a_file_are_not_offered(tmp_path: Path) -> None:
    sink = JsonlSink(JsonlOptions(path=tmp_path / "alerts.jsonl"), record.PlainEncoder())

    sink.result(record.result())
    sink.health(record.health())

    assert sink.statistics().offered == 0


async def test_full_disk_is_counted_reported_and_recovered_from(tmp_path: Path) -> None:
    options = JsonlOptions(path=tmp_path / "alerts.jsonl", retry_s=0.01, buffer_records=4)
    async with running(JsonlSink(options, record.PlainEncoder(padding=2000))) as sink:
        with files_of_at_most(1000):
            sink.alert(record.alert(0))
            while not sink.statistics().last_error:
                await asyncio.sleep(0)
            for number in range(1, 10):
                sink.alert(record.alert(number))
            full = sink.statistics()
        await sink.drain(5)
    recovered = sink.statistics()

    assert "alerts.jsonl" in full.last_error
    assert not full.connected
    assert full.waiting == 4
    assert full.offered == full.acked + full.dropped + full.failed + full.waiting == 10
    assert (recovered.connected, recovered.last_error, recovered.waiting) == (True, "", 0)
    assert [line["task_id"] for line in lines(options.path)][-3:] == ["7", "8", "9"]
    assert len(lines(options.path)) == recovered.acked == 10 - recovered.dropped


def test_failed_append_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """Half a line on the disk would spoil the next reader."""
    file = LineFile(tmp_path / "out.jsonl")
    file.append([b'{"a":1}'])

    with files_of_at_most(20), pytest.raises(SinkError, match=r"out\.jsonl"):
        file.append([b'{"b":"' + b"x" * 100 + b'"}'])

    assert file.path.read_bytes() == b'{"a":1}\n'


def test_torn_last_line_spoils_no_record_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(b'{"torn')

    LineFile(path).append([b'{"a":1}'])

    assert path.read_bytes() == b'{"torn\n{"a":1}\n'


def test_rotation_keeps_the_newest_files(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "out.jsonl", rotate_bytes=10, rotate_keep=2)

    for number in range(5):
        file.append([b"%d" % number * 6])

    contents = {path.name: path.read_text()[0] for path in tmp_path.iterdir()}
    assert contents == {"out.jsonl": "4", "out.jsonl.1": "3", "out.jsonl.2": "2"}


def test_line_longer_than_the_rotation_size_is_still_written(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "out.jsonl", rotate_bytes=4, rotate_keep=1)

    file.append([b"longer than four"])

    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_file_moved_away_is_made_anew(tmp_path: Path) -> None:
    """logrotate needs no signal."""
    file = LineFile(tmp_path / "out.jsonl")
    file.append([b"1"])
    file.path.rename(tmp_path / "moved")

    file.append([b"2"])

    assert file.path.read_bytes() == b"2\n"


def test_path_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "occupied").mkdir()

    with pytest.raises(SinkError, match="occupied"):
        LineFile(tmp_path / "occupied").append([b"1"])
