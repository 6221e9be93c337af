"""Reloads at bad moments, and reloads that cannot be carried out."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
import yaml

from app.config.deployment import Config as Deployment
from app.dpu import Dpu
from tests.fakes.rtsp_clips import write_clip
from tests.integration.load import NULL_WORKER, looped, more_inferred
from tests.integration.pipe import QUIET, Config, running, until


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


def rewrite(directory: Path, config: Config) -> None:
    (directory / "framegate.yaml").write_text(yaml.safe_dump(QUIET | {"worker": NULL_WORKER} | config))


def slowly(dpu: Dpu, go: threading.Event) -> threading.Event:
    """From now on a reload that has read the file goes on only at `go`. Returns what is set when it has read."""
    read, has_read = dpu._reload, threading.Event()
    assert read is not None

    def held() -> Deployment:
        fresh = read()
        has_read.set()
        go.wait(20)
        return fresh

    dpu._reload = held
    return has_read


def pumps() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("pump[")]


async def test_a_reload_that_comes_through_after_the_stop_starts_nothing(tmp_path: Path, clip: Path) -> None:
    go = threading.Event()
    async with running(tmp_path, {"worker": NULL_WORKER, "cameras": looped(clip, 1)}) as dpu:
        await more_inferred(dpu, 1)
        rewrite(tmp_path, {"cameras": looped(clip, 3)})
        slowly(dpu, go)
        reload = asyncio.create_task(dpu.reload())
    assert pumps() == []
    go.set()
    await reload
    assert pumps() == []


async def test_of_two_reloads_the_later_file_counts(tmp_path: Path, clip: Path) -> None:
    """The first one is still reading when the second one comes."""
    go = threading.Event()
    async with running(tmp_path, {"worker": NULL_WORKER, "cameras": looped(clip, 1)}) as dpu:
        await more_inferred(dpu, 1)
        read = dpu._reload
        rewrite(tmp_path, {"cameras": looped(clip, 3)})
        has_read = slowly(dpu, go)
        first = asyncio.create_task(dpu.reload())
        await until(has_read.is_set, what="the first reload to have read the file")
        dpu._reload = read
        rewrite(tmp_path, {"cameras": looped(clip, 2)})
        second = asyncio.create_task(dpu.reload())
        asyncio.get_running_loop().call_later(0.3, go.set)  # time for the second to overtake, if it can
        await asyncio.gather(first, second)
        assert set(dpu.cameras.pumps) == {"file0", "file1"}


async def test_a_camera_that_cannot_be_made_changes_nothing(tmp_path: Path, clip: Path) -> None:
    """The presence model is loaded with the first camera that asks for it: here by a reload, and it is broken."""
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"this is no model")
    base = {"worker": NULL_WORKER, "model": {"presence": str(broken)}}
    async with running(tmp_path, base | {"cameras": looped(clip, 2)}) as dpu:
        await more_inferred(dpu, 1)
        changed = looped(clip, 1, analyse_fps=1.0) | {"new": {"url": str(clip), "presence": {"enabled": True}}}
        rewrite(tmp_path, base | {"cameras": changed})
        await dpu.reload()
        assert set(dpu.cameras.pumps) == {"file0", "file1"}
        await more_inferred(dpu, 5)
        rewrite(tmp_path, base | {"cameras": looped(clip, 1)})
        await dpu.reload()
        await until(lambda: set(dpu.cameras.pumps) == {"file0"}, what="the next reload, which is sound")
