"""The worker process dies, hangs or loses its parent: nothing is lost uncounted, and the pipe comes back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.dpu import Dpu
from pipelines.values import Cause, Outcome
from tests.fakes.rtsp_clips import write_clip
from tests.integration.command import Command, deployment, framegate, short_tmp
from tests.integration.load import NULL_WORKER, caused, looped, more_inferred, outcomes, process_is_gone
from tests.integration.pipe import Config, running, until

RECOVERS_WITHIN_S = 30
"""Of which the most part is a fresh interpreter with its imports, on a machine that is busy with other things."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", wh=(320, 192), options={"g": "10", "bf": "0"})


@asynccontextmanager
async def loaded(directory: Path, clip: Path, config: Config) -> AsyncIterator[Dpu]:
    """A pipe under load: 8 cameras, 25 frames per second each, every one a task."""
    async with running(directory, {"cameras": looped(clip, 8, analyse_fps=0)} | config) as dpu:
        await more_inferred(dpu, 50)
        yield dpu


def worker_pid(dpu: Dpu) -> int | None:
    supervisor = dpu.fleet.supervisors.get("worker")
    return supervisor.pid if supervisor else None


def worker_of(dpu: Dpu) -> int:
    pid = worker_pid(dpu)
    assert pid is not None
    return pid


async def recovery_s(dpu: Dpu, hurt: int) -> float:
    """Seconds until another worker than the one that was hurt answers frames."""
    began = time.monotonic()
    await until(
        lambda: worker_is_another(dpu, hurt), RECOVERS_WITHIN_S, "another worker attached in place of the lost one"
    )
    await more_inferred(dpu, 50, RECOVERS_WITHIN_S)
    return time.monotonic() - began


def worker_is_another(dpu: Dpu, than: int) -> bool:
    pid = worker_pid(dpu)
    return pid not in (None, than) and dpu.inflight.writer is not None


def settled_by_causes(dpu: Dpu) -> None:
    """A frame fails for want of a worker, and for nothing else."""
    peer_lost = caused(dpu, Outcome.FAILED, Cause.PEER_LOST)
    no_worker = caused(dpu, Outcome.FAILED, Cause.NO_WORKER)
    assert outcomes(dpu, Outcome.FAILED) == peer_lost + no_worker
    assert no_worker > 0


async def test_a_killed_worker_is_replaced(tmp_path: Path, clip: Path) -> None:
    slow = {"engine": "onnx", "threads": 1}  # batches that take their time: tasks are with the worker when it dies
    async with loaded(tmp_path, clip, {"worker": slow}) as dpu:
        for _ in range(2):
            await until(lambda: len(dpu.inflight) > 0, what="a task in flight")
            before = caused(dpu, Outcome.FAILED, Cause.PEER_LOST) + caused(dpu, Outcome.FAILED, Cause.NO_WORKER)
            worker = worker_of(dpu)
            os.kill(worker, signal.SIGKILL)
            took_s = await recovery_s(dpu, worker)
            assert took_s < RECOVERS_WITHIN_S, f"answered again after {took_s:.2f} s"
            after = caused(dpu, Outcome.FAILED, Cause.PEER_LOST) + caused(dpu, Outcome.FAILED, Cause.NO_WORKER)
            assert after > before
        assert dpu.fleet.supervisors["worker"].restarts == 2
        settled_by_causes(dpu)


async def test_a_worker_that_hangs_is_noticed_and_replaced(tmp_path: Path, clip: Path) -> None:
    """It lives, holds its socket and its tasks, and answers nothing: only the missing pongs tell."""
    lane = {"ping_interval_s": 0.2, "ping_timeout_s": 1.0, "attach_timeout_s": 0.5}
    async with loaded(tmp_path, clip, {"worker": NULL_WORKER, "lane": lane}) as dpu:
        worker = worker_of(dpu)
        os.kill(worker, signal.SIGSTOP)
        took_s = await recovery_s(dpu, worker)
        assert took_s < RECOVERS_WITHIN_S, f"answered again after {took_s:.2f} s"
        assert caused(dpu, Outcome.FAILED, Cause.PEER_LOST) > 0, "the tasks the worker had when it was stopped"
        assert outcomes(dpu, Outcome.RING_FULL) > 0, "a stopped worker costs frames while nobody has noticed yet"
        settled_by_causes(dpu)


async def test_a_killed_dpu_process_leaves_nothing_running(tmp_path: Path, clip: Path) -> None:
    """SIGKILL runs no handler: the kernel tells the worker (PR_SET_PDEATHSIG). An empty directory may stay."""
    config = deployment(tmp_path, {"cameras": looped(clip, 2)})
    with short_tmp() as scratch:
        async with framegate(tmp_path, "run", config, env={"TMPDIR": str(scratch)}) as command:
            await killed(command)
        assert list(scratch.glob("framegate-*/*")) == [], "no socket stays behind"
    assert command.events("worker.stopped"), f"the worker ended by itself, not by force: {command.stderr}"


async def killed(command: Command) -> None:
    """Kill -9 the DPU process when it runs, and wait for the end of its worker."""
    await command.said("camera.state", state="live", times=2)
    worker = int((await command.said("worker.process.started"))["text"].split()[-1])
    assert not process_is_gone(worker)
    command.signal(signal.SIGKILL)
    assert await command.ended() == -signal.SIGKILL
    await until(lambda: process_is_gone(worker), what="the end of the worker")


async def test_a_worker_that_hangs_before_it_ever_attached_is_replaced(tmp_path: Path, clip: Path) -> None:
    config = {"cameras": looped(clip, 1), "worker": NULL_WORKER | {"start_timeout_s": 10}}
    async with running(tmp_path, config) as dpu:
        await until(lambda: worker_pid(dpu) is not None, what="a worker's start")
        worker = worker_of(dpu)
        os.kill(worker, signal.SIGSTOP)
        assert not dpu.measure.worker_attached.is_set(), "it was still starting"
        await recovery_s(dpu, worker)
        assert dpu.fleet.supervisors["worker"].restarts >= 1
