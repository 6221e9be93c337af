"""Simulated RTSP cameras over GStreamer's real server (scripts/rtsp_cameras), on a free port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "rtsp_cameras"
_START_S = 60


@asynccontextmanager
async def rtsp_cameras(clips: Sequence[Path], cameras: int | None = None) -> AsyncIterator[list[str]]:
    """The URLs of `cameras` cameras (default: one per clip) that play the clips in turn. Skips where it cannot run."""
    command = [str(SCRIPT), "--port", "0", "--cameras", str(cameras or len(clips)), *map(str, clips)]
    server = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=1 << 20
    )
    assert server.stdout is not None
    assert server.stderr is not None
    try:
        line = await asyncio.wait_for(server.stdout.readline(), _START_S)
        if not line:
            pytest.skip(f"no RTSP server: {(await server.stderr.read()).decode().strip()}")
        yield json.loads(line)["urls"]
    finally:
        with suppress(ProcessLookupError):
            server.terminate()
        await server.wait()
