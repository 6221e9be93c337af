"""While no worker answers, this process's own models do: at once, named, every packet accounted for, until one does."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.dpu import Dpu
from app.fleet import Fleet
from app.observe.report import build_report
from pipelines.model.fold import fold
from pipelines.model.options import FoldOptions
from pipelines.sink.memory import MemoryOptions, MemorySink
from pipelines.values import Cause, Outcome
from tests.fakes import faulty_worker
from tests.fakes.detector import save_detector
from tests.fakes.faulty_engine import inject
from tests.fakes.rtsp_clips import write_clip
from tests.integration.load import NULL_WORKER, caused, looped, more_inferred, outcomes
from tests.integration.pipe import Config, balanced, running, until

WITHIN_S = 1.0
"""From a fault to the first answer of this process's own."""
ASKED = {"enabled": True, "threshold": 0.0, "warmup_s": 0}
"""Presence is asked about every frame, and always sees somebody."""
PATIENT = {"ping_interval_s": 0.5, "ping_timeout_s": 20.0}
"""A lane that does not give a silent worker up while the test looks at it."""
DETECTOR: Config = {"degraded": {"detector": "detector", "cores": 2}}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", wh=(320, 192), options={"g": "10", "bf": "0"})


def cameras(clip: Path, count: int = 4, presence: Config | None = None) -> Config:
    options = {"presence": presence} if presence else {}
    return {"cameras": looped(clip, count, analyse_fps=5, **options), "worker": NULL_WORKER}


def degraded(dpu: Dpu, by: Cause) -> int:
    assert balanced(dpu)
    return caused(dpu, Outcome.DEGRADED, by)


def worker_of(dpu: Dpu) -> int:
    pid = dpu.fleet.supervisors["worker"].pid
    assert pid is not None
    return pid


async def first_after(dpu: Dpu, by: Cause, fault: Callable[[], None]) -> float:
    """Seconds from the fault to the next answer by that model."""
    before, began = degraded(dpu, by), time.monotonic()
    fault()
    await until(lambda: degraded(dpu, by) > before, what=f"an answer by {by.value}")
    return time.monotonic() - began


async def goes_back(dpu: Dpu) -> None:
    """Workers answer again, and then nobody else does."""
    await until(lambda: not dpu.standby.watch.reason, 60, "the way back")
    await more_inferred(dpu, 20, 60)
    before = outcomes(dpu, Outcome.DEGRADED)
    await more_inferred(dpu, 20)
    assert outcomes(dpu, Outcome.DEGRADED) == before
    assert build_report(dpu.observe())["degraded"]["answerer"] == "worker"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A worker's model of another input size than the own detector's."""
    folder = tmp_path_factory.mktemp("model")
    save_detector(folder / "source.onnx", (64, 64))
    fold(folder / "source.onnx", folder / "scene.onnx", FoldOptions(name="scene", top_k=20))
    return folder / "scene.onnx"


@pytest.mark.parametrize("by", [Cause.DETECTOR, Cause.PRESENCE])
async def test_a_killed_worker(tmp_path: Path, clip: Path, by: Cause) -> None:
    config = cameras(clip) | DETECTOR if by is Cause.DETECTOR else cameras(clip, presence=ASKED)
    memory = MemorySink(MemoryOptions(results=10_000))
    async with running(tmp_path, config, [memory]) as dpu:
        await more_inferred(dpu, 20)
        worker = worker_of(dpu)
        took_s = await first_after(dpu, by, lambda: os.kill(worker, signal.SIGKILL))
        assert took_s < WITHIN_S
        told = build_report(dpu.observe())["degraded"]
        assert told["answerer"] == by.value
        assert "no worker is attached" in told["reason"]
        await goes_back(dpu)
        told = build_report(dpu.observe())["degraded"]
        assert told["losses"] >= 1
        assert told["degraded_s"] > 0
        no_worker = caused(dpu, Outcome.FAILED, Cause.NO_WORKER)  # more than the share of CPU lets it look at
        assert outcomes(dpu, Outcome.FAILED) <= no_worker + 2, "but for what was in the pumps' hands at the loss"
    found = {result.degraded for result in memory.results}
    assert found == {None, by.value}
    named = {alert.degraded for alert in memory.alerts}
    assert named == ({"presence"} if by is Cause.PRESENCE else set()), "the null worker finds nothing, presence does"


async def test_a_worker_that_hangs_and_comes_back(tmp_path: Path, clip: Path) -> None:
    """Stopped, it holds its lane, its slots and its tasks; their pictures are answered from where they lie."""
    async with running(tmp_path, cameras(clip) | DETECTOR | {"lane": PATIENT}) as dpu:
        await more_inferred(dpu, 20)
        worker = worker_of(dpu)
        took_s = await first_after(dpu, Cause.DETECTOR, lambda: os.kill(worker, signal.SIGSTOP))
        assert took_s < WITHIN_S
        assert "answered none" in dpu.standby.watch.reason
        await until(lambda: degraded(dpu, Cause.DETECTOR) > 50, what="50 more answers")
        os.kill(worker, signal.SIGCONT)
        await goes_back(dpu)
        assert worker_of(dpu) == worker


async def test_a_worker_that_never_comes(tmp_path: Path, clip: Path) -> None:
    """Nothing listens at the socket: with its own detector the process sees all the same, and at once."""
    away = {"worker": {"spawn": False, "socket": str(tmp_path / "nobody.sock")}}
    began = time.monotonic()
    async with running(tmp_path, cameras(clip) | DETECTOR | away) as dpu:
        await until(lambda: degraded(dpu, Cause.DETECTOR) > 20, what="20 answers")
        assert time.monotonic() - began < 15, "it does not wait for a worker as long as a process without a detector"
        assert outcomes(dpu, Outcome.INFERRED) == 0
        assert build_report(dpu.observe())["degraded"]["detector"] == "detector"


async def test_a_file_read_fast_waits_for_the_own_detector(tmp_path: Path, clip: Path) -> None:
    """No deadline, no pace: every due frame is answered, none is dropped for want of a slot."""
    file = {"file0": looped(clip, 1, analyse_fps=0)["file0"] | {"file": {"paced": False, "loop": False}}}
    away = {"spawn": False, "socket": str(tmp_path / "nobody.sock")}
    config = DETECTOR | {"cameras": file, "worker": away, "degraded": {"detector": "detector", "slots": 2, "cores": 4}}
    async with running(tmp_path, config, until_end=True) as dpu:
        pass
    ledger = dpu.cameras.ledgers()["file0"]
    assert dict(ledger.outcomes) == {Outcome.DEGRADED: ledger.packets}


@pytest.mark.parametrize("fault", ["nan", "shape", "error", "memory 0", "hang", "lost"])
async def test_an_engine_that_fails(
    tmp_path: Path, clip: Path, model: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """A real worker process around an engine that does this to every batch."""
    word, plain = tmp_path / "fault", Fleet._command
    monkeypatch.setattr(Fleet, "_command", lambda fleet, socket: faulty_worker.command(word, plain(fleet, socket)))
    config = cameras(clip) | DETECTOR | {
        "model": {"detector": str(model)}, "worker": {"threads": 1, "engine": "onnx", "batch": {"watchdog_s": 2}}
    }  # fmt: skip
    async with running(tmp_path, config) as dpu:
        await more_inferred(dpu, 20)
        took_s = await first_after(dpu, Cause.DETECTOR, lambda: inject(word, fault))
        assert took_s < WITHIN_S
        if fault != "lost":  # that process's successor works again after half a second
            await until(lambda: degraded(dpu, Cause.DETECTOR) > 20, what="20 answers")
        word.unlink(missing_ok=True)
        await goes_back(dpu)
        failed = {cause for (of, cause) in all_causes(dpu) if of is Outcome.FAILED}
        assert failed <= {Cause.NO_WORKER, Cause.PEER_LOST}, "what the worker failed, the own detector answered"


def all_causes(dpu: Dpu) -> set[tuple[Outcome, Cause]]:
    return {key for ledger in dpu.cameras.ledgers().values() for key in ledger.causes}
