"""Engines that fail in every way there is, in a real worker process with a real lane: each task has its right answer,
none is lost but with its process, and all is well again by itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.control.worker import Request, ask, control_path
from app.place import socket_of
from pipelines.model.fold import fold
from pipelines.model.known import SHIPPED_FOLDER
from pipelines.model.options import FoldOptions
from pipelines.values import AnswerCode
from tests.fakes.detector import save_detector
from tests.integration.command import START_S
from tests.integration.faulty import Faulty, answered, faulty, well_again
from tests.integration.pipe import until
from tests.integration.traffic import Traffic, flowing

FPS = 2.0
"""Of each of 64 cameras."""
OK = AnswerCode.OK


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """own.onnx and other.onnx, folded; their cards differ in the name, so lanes attach again for the other."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("own", "other"):
        save_detector(folder / f"{name}.source.onnx", (64, 64))
        fold(folder / f"{name}.source.onnx", folder / f"{name}.onnx", FoldOptions(name=name, top_k=20))
    return folder


def settled(traffic: Traffic) -> None:
    """Every task has had one answer (a second one fails the traffic), or was lost with its process."""
    assert traffic.open == 0
    assert traffic.sent == traffic.answers.total() + len(traffic.lost)


@pytest.mark.parametrize(
    ("fault", "code"),
    [("nan", AnswerCode.BAD_OUTPUT), ("shape", AnswerCode.BAD_OUTPUT), ("error", AnswerCode.ENGINE_FAILED)],
)
async def test_bad_batches_are_told_and_the_next_good_one_is_good(
    tmp_path: Path, models: Path, fault: str, code: AnswerCode
) -> None:
    config = {"model": {"detector": str(models / "own.onnx")}}
    async with faulty(tmp_path, config) as worker, flowing(worker.socket, FPS) as traffic:
        await answered(traffic, OK, 20)
        pid = worker.supervisor.pid
        worker.inject(fault)
        await answered(traffic, code, 20)
        assert set(traffic.answers) == {OK, code}
        await worker.said("model.bad")
        worker.mend()
        await well_again(traffic)
        assert worker.supervisor.pid == pid
        assert (traffic.lost, traffic.attaches) == ([], 1)
    settled(traffic)


async def test_one_failure_costs_no_task(tmp_path: Path, models: Path) -> None:
    config = {"model": {"detector": str(models / "own.onnx")}}
    async with faulty(tmp_path, config) as worker, flowing(worker.socket, FPS) as traffic:
        for _ in range(3):
            worker.inject("once error")
            await until(lambda: not worker.fault.exists(), what="the failure")
            await answered(traffic, OK, 10)
    assert traffic.answers == {OK: traffic.published}


async def test_too_little_memory_makes_batches_smaller(tmp_path: Path, models: Path) -> None:
    config = {"model": {"detector": str(models / "own.onnx")}}
    async with faulty(tmp_path, config, first_fault="memory 2") as worker:
        assert list((await worker.said("worker.ready"))["batch_ms"]) == ["1", "2"]
        worker.inject("memory 1")
        async with flowing(worker.socket, 4 * FPS) as traffic:
            await answered(traffic, OK, 100)
            worker.mend()
            await answered(traffic, OK, 20)
    assert traffic.answers == {OK: traffic.published}
    assert len([state for state, _ in worker.states if state == "started"]) == 1


@pytest.mark.parametrize(
    ("fault", "codes", "said"),
    [
        ("lost", {AnswerCode.ENGINE_FAILED}, "the device was lost"),
        ("hang", {AnswerCode.WATCHDOG}, r"ran longer than 0.5 s"),
    ],
)
async def test_a_worker_that_loses_its_device_is_replaced(
    tmp_path: Path, models: Path, fault: str, codes: set[AnswerCode], said: str
) -> None:
    config = {"model": {"detector": str(models / "own.onnx")}, "worker": {"threads": 1, "batch": {"watchdog_s": 0.5}}}
    async with faulty(tmp_path, config) as worker, flowing(worker.socket, FPS) as traffic:
        for turn in (1, 2):
            await answered(traffic, OK, 20)
            worker.inject(fault)
            assert said in (await worker.said("worker.device_lost", turn))["reason"]
            await attached(traffic, 1 + turn)
            await well_again(traffic)
            assert worker.supervisor.restarts == turn
        died = [text for state, text in worker.states if state == "died"]
        assert all("exited with 75" in text for text in died)
        assert set(traffic.answers) - codes <= {OK, AnswerCode.LATE}
        assert any(traffic.answers[code] for code in codes)
    settled(traffic)


async def test_a_device_that_is_lost_at_the_start_is_tried_again(tmp_path: Path, models: Path) -> None:
    config = {"model": {"detector": str(models / "own.onnx")}}
    async with faulty(tmp_path, config, first_fault="lost") as worker:
        await worker.said("worker.device_lost")
        deaths = [text for state, text in worker.states if state == "died"]
        assert [text.partition(";")[0] for text in deaths] == ["worker exited with 75"]
        async with flowing(worker.socket, FPS) as traffic:
            await answered(traffic, OK, 10)
    settled(traffic)


async def test_a_backup_serves_while_the_model_is_bad(tmp_path: Path, models: Path) -> None:
    own, other = models / "own.onnx", models / "other.onnx"
    config = {"model": {"detector": str(own), "backup": str(other), "backup_again_s": 0.5}}
    async with faulty(tmp_path, config) as worker, flowing(worker.socket, FPS) as traffic:
        await answered(traffic, OK, 20)
        worker.inject("nan of own")
        assert (await worker.said("model.backup.loaded"))["text"] == str(other)
        await answered(traffic, OK, 20)
        worker.mend()
        await until(lambda: str(own) in [record["text"] for record in worker.events("model.backup.loaded")])
        await well_again(traffic)
        status = await ask(control_path(worker.socket), Request(do="status"))
        assert (status["model"]["reference"], status["bad"]) == (str(own), False)
        assert set(traffic.answers) == {OK, AnswerCode.BAD_OUTPUT}
        assert traffic.lost == []
    settled(traffic)


async def test_a_backup_serves_from_the_start_where_the_model_cannot_be_used(tmp_path: Path, models: Path) -> None:
    own = tmp_path / "own.onnx"
    own.write_bytes(b"no model at all")
    config = {"model": {"detector": str(own), "backup": str(models / "other.onnx"), "backup_again_s": 0.5}}
    async with faulty(tmp_path, config) as worker, flowing(worker.socket, FPS) as traffic:
        assert "not a model" in (await worker.said("model.unusable"))["reason"]
        assert (await worker.said("worker.ready"))["model"] == "other"
        await worker.said("model.backup.refused")
        own.write_bytes((models / "own.onnx").read_bytes())
        await worker.said("model.backup.loaded")
        assert await serving(worker) == str(own)
        await answered(traffic, OK, 20)
    assert traffic.answers == {OK: traffic.published}
    assert worker.supervisor.restarts == 0


async def test_an_engine_on_a_device_copies_from_the_lane_s_own_memory(tmp_path: Path, models: Path) -> None:
    """Pinned while a DPU process is attached, for the model that serves; let go when it has left."""
    config = {"model": {"detector": str(models / "own.onnx")}}
    async with faulty(tmp_path, config, engine="device") as worker:
        for lanes in (1, 2):
            async with flowing(worker.socket, FPS) as traffic:
                await until(lambda: worker.seen.get("pinned_regions") == 1, what="the lane to be pinned")
                await copies_nothing(worker, traffic)
                if lanes == 2:
                    await ask(control_path(worker.socket), Request(do="load", model=str(models / "other.onnx")))
                    await copies_nothing(worker, traffic)
            assert traffic.answers == {OK: traffic.published}
            await until(lambda: worker.seen["pinned_regions"] == 0, what="the lane to be let go")


async def attached(traffic: Traffic, times: int) -> None:
    await until(lambda: traffic.attaches == times, START_S, f"lane number {times}")


async def copies_nothing(worker: Faulty, traffic: Traffic) -> None:
    """Batches run, and the host copies no payload into staging memory."""
    await answered(traffic, OK, 10)  # what was taken before may have been staged
    staged, tasks = worker.seen["staged"], worker.seen["tasks"]
    await answered(traffic, OK, 20)
    assert worker.seen["tasks"] > tasks
    assert worker.seen["staged"] == staged


async def serving(worker: Faulty) -> str:
    status = await ask(control_path(worker.socket), Request(do="status"))
    return str(status["model"]["reference"])


async def test_models_that_share_a_worker_have_lanes_of_their_own_and_fail_alone(tmp_path: Path, models: Path) -> None:
    further = {"second": str(models / "other.onnx")}
    config = {"model": {"detector": str(models / "own.onnx"), "further": further}}
    async with faulty(tmp_path, config) as worker:
        second = socket_of(worker.socket, "second")
        async with flowing(worker.socket, FPS) as one, flowing(second, FPS) as other:
            assert [traffic.model for traffic in (one, other)] == ["own", "other"]
            worker.inject("nan of other")
            await answered(other, AnswerCode.BAD_OUTPUT, 20)
            assert set(one.answers) == {OK}
            worker.mend()
            await well_again(other)
            await ask(control_path(second), Request(do="load", model=str(models / "own.onnx")))
            await answered(other, OK, 20)
            assert other.model == "own"
            assert await serving(worker) == str(models / "own.onnx")
            await answered(one, OK, 20)
    assert one.answers == {OK: one.published}
    assert (one.lost, other.lost) == ([], [])
    settled(other)


_LITTLE_MEMORY = """
import asyncio, json, resource, sys
from pathlib import Path
from pipelines.worker.engines.onnx import OnnxEngine
from pipelines.worker.loop import WorkerLoop
from pipelines.worker.options import BatchOptions

engine = OnnxEngine(sys.argv[1], threads=1, max_batch=64)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (96 << 20), resource.RLIM_INFINITY))
loop = WorkerLoop(engine, BatchOptions(max_batch=64))
loop.warm()
print(json.dumps({"sizes": list(loop.statistics().profile_ns), "no_room": loop.statistics().no_room}))
"""


def test_the_cpu_engine_itself_runs_the_batches_that_its_memory_holds() -> None:
    """No wrapper: onnxruntime in a process that may have 96 MiB more, where a batch of 64 wants several times that."""
    command = [sys.executable, "-c", _LITTLE_MEMORY, str(SHIPPED_FOLDER / "detector.folded.onnx")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found = json.loads(run.stdout)
    assert found["no_room"] >= 1
    assert found["sizes"][0] == 1
    assert found["sizes"][-1] < 64
