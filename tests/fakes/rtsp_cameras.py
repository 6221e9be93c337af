"""scripts/rtsp_cameras as a context: real RTSP servers for tests, and what tests do with their streams."""

from __future__ import annotations

import json
import select
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.contracts import Stream
from pipelines.errors import SourceError

SCRIPT = Path(__file__).parents[2] / "scripts" / "rtsp_cameras"
READY_S = 30
MISSING = 3
"""The script's exit status when GStreamer is not installed."""


def read_until_error(stream: Stream, each: Callable[[], None] = lambda: None) -> SourceError:
    """Read packets, calling `each` after every one, until it fails as it must."""
    try:
        while True:
            assert stream.read(), "a camera has no end"
            each()
    except SourceError as error:
        return error


@dataclass(frozen=True)
class Cameras:
    """A running server. `process` may be killed by a test."""

    port: int
    urls: list[str]
    process: subprocess.Popen[str]


@contextmanager
def rtsp_cameras(*arguments: str | Path) -> Iterator[Cameras]:
    """Run the server with these arguments on a free port; skip the test where GStreamer is absent."""
    command = [str(SCRIPT), "--port", "0", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], READY_S)
        line = process.stdout.readline() if ready else ""
        if not line:
            process.kill()
            _, errors = process.communicate()
            if process.returncode == MISSING:
                pytest.skip(errors.strip())
            raise AssertionError(f"rtsp_cameras did not start: {errors}")
        told = json.loads(line)
        yield Cameras(told["port"], told["urls"], process)
    finally:
        process.terminate()
        try:
            process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
