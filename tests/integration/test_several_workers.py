"""Several worker processes behind one DPU: one dies, one drains, one is slow, one can be reached in two ways."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.dpu import Dpu
from app.observe.report import build_report
from pipelines.errors import LaneError
from pipelines.sink.memory import MemoryOptions, MemorySink
from pipelines.transport import rdma
from pipelines.transport.flow import FlowStatistics
from pipelines.values import Cause, Outcome
from tests.fakes.faulty_engine import inject
from tests.fakes.faulty_worker import command
from tests.fakes.rtsp_clips import write_clip
from tests.integration.command import short_tmp
from tests.integration.load import NULL_WORKER, caused, looped, more_inferred, outcomes
from tests.integration.pipe import Config, running, until
from tests.servers.inference import inference_worker
from tests.servers.process import ServerProcess

TWO: Config = {"worker": NULL_WORKER, "workers": {"a": {}, "b": {}}}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", wh=(320, 192), options={"g": "10", "bf": "0"})


@pytest.fixture
def sockets() -> Iterator[Path]:
    with short_tmp() as directory:
        yield directory


def pid_of(dpu: Dpu, name: str) -> int:
    pid = dpu.fleet.supervisors[name].pid
    assert pid is not None
    return pid


def flow_of(dpu: Dpu, name: str) -> FlowStatistics:
    return dpu.fleet.workers.observe().flows[name]


def attached(dpu: Dpu) -> set[str]:
    return set(dpu.fleet.workers.observe().flows)


def answered(dpu: Dpu, name: str) -> int:
    writer = dpu.fleet.links[name].writer
    return writer.statistics().answered if writer else 0


def told(dpu: Dpu, name: str) -> dict[str, Any]:
    """As the report and GET /workers have it."""
    report: dict[str, Any] = build_report(dpu.observe())["workers"][name]
    return report


async def test_one_of_two_is_killed_and_the_stream_goes_on(tmp_path: Path, clip: Path) -> None:
    config = {"cameras": looped(clip, 8, analyse_fps=0, deadline_ms=20_000)} | TWO
    async with running(tmp_path, config) as dpu:
        await until(lambda: attached(dpu) == {"a", "b"}, what="both workers")
        await more_inferred(dpu, 50)
        assert answered(dpu, "a") > 0
        assert answered(dpu, "b") > 0

        hurt = pid_of(dpu, "a")
        os.kill(hurt, signal.SIGSTOP)  # so that it has tasks when it dies
        await until(lambda: flow_of(dpu, "a").in_flight > 0, what="tasks with the worker that will die")
        os.kill(hurt, signal.SIGKILL)
        await until(lambda: "a" not in attached(dpu), what="the loss")
        assert told(dpu, "a")["state"] == "lost"
        await more_inferred(dpu, 50)
        await until(lambda: attached(dpu) == {"a", "b"}, what="another in its place")
        assert pid_of(dpu, "a") != hurt
        await until(lambda: answered(dpu, "a") > 0, what="tasks for the new one")

        assert dpu.fleet.workers.observe().resubmitted > 0, "what it had went to the other one"
        assert caused(dpu, Outcome.FAILED, Cause.NO_WORKER) == 0, "there was one at any time"
        assert outcomes(dpu, Outcome.FAILED) == caused(dpu, Outcome.FAILED, Cause.PEER_LOST)
        assert told(dpu, "a")["restarts"] == 1
        assert told(dpu, "b")["restarts"] == 0


async def test_one_of_two_is_stopped_as_planned_and_nothing_fails(tmp_path: Path, clip: Path) -> None:
    async with running(tmp_path, {"cameras": looped(clip, 8, analyse_fps=0)} | TWO) as dpu:
        await until(lambda: attached(dpu) == {"a", "b"}, what="both workers")
        await more_inferred(dpu, 50)
        os.kill(pid_of(dpu, "a"), signal.SIGTERM)
        await until(lambda: "a" not in attached(dpu), what="its leave")
        assert told(dpu, "a")["reason"] == "the worker is draining"
        await more_inferred(dpu, 50)
        assert outcomes(dpu, Outcome.FAILED) == 0


@contextmanager
def slow_worker(directory: Path, socket: Path) -> Iterator[Path]:
    """A worker process whose engine is slowed down by what stands in the file that is returned."""
    config, fault = directory / "worker.yaml", directory / "fault"
    config.write_text(yaml.safe_dump({"worker": NULL_WORKER}))
    own = [sys.executable, "-m", "app", "worker", str(config), "--socket", str(socket)]
    process = ServerProcess(command(fault, own), directory / "worker.log", socket.exists)
    process.start()
    try:
        yield fault
    finally:
        process.stop()


async def test_a_worker_that_slows_down_is_given_less(tmp_path: Path, clip: Path, sockets: Path) -> None:
    """Its window follows its speed, both ways; the other one has the rest; all of it shows."""
    socket, target_ms, slots = sockets / "slow.sock", 200.0, 12
    config = {
        "cameras": looped(clip, 8, analyse_fps=0, deadline_ms=5_000),
        "worker": NULL_WORKER,
        "workers": {"slow": {"socket": str(socket)}, "quick": {}},
        "lane": {
            "slots": slots,
            "reserved_high": 0,
            "reserved_normal": 0,
            "ping_timeout_s": 60,
            "flow": {"window": {"target_ms": target_ms}},
        },
    }
    with slow_worker(tmp_path, socket) as fault:
        async with running(tmp_path, config) as dpu:
            await until(lambda: attached(dpu) == {"slow", "quick"}, what="both workers")
            inject(fault, "slow 100")
            os.kill(pid_of(dpu, "quick"), signal.SIGSTOP)  # all goes to the slow one, until its slots are full
            await until(lambda: 1 <= flow_of(dpu, "slow").window <= 3, what="a window for 100 ms each, 200 in all")
            assert flow_of(dpu, "slow").in_flight <= slots
            os.kill(pid_of(dpu, "quick"), signal.SIGCONT)
            before = answered(dpu, "slow"), answered(dpu, "quick")
            await more_inferred(dpu, 100)
            slow, quick = answered(dpu, "slow") - before[0], answered(dpu, "quick") - before[1]
            assert slow < quick / 2, "tasks go to the one that should be done with them first"
            assert told(dpu, "slow")["flow"]["window"] < slots
            fault.unlink()
            os.kill(pid_of(dpu, "quick"), signal.SIGKILL)
            await until(lambda: flow_of(dpu, "slow").window == slots, what="its whole window back")


async def test_a_worker_that_fails_is_left_alone_until_a_probe_succeeds(
    tmp_path: Path, clip: Path, sockets: Path
) -> None:
    socket = sockets / "bad.sock"
    config = {
        "cameras": looped(clip, 8, analyse_fps=0),
        "worker": NULL_WORKER,
        "workers": {"bad": {"socket": str(socket)}, "good": {}},
        "lane": {"flow": {"breaker": {"failures": 3, "pause_s": 0.2, "pause_max_s": 0.4}}},
    }
    with slow_worker(tmp_path, socket) as fault:
        async with running(tmp_path, config) as dpu:
            await until(lambda: attached(dpu) == {"bad", "good"}, what="both workers")
            inject(fault, "error")
            await until(lambda: told(dpu, "bad")["flow"]["state"] == "retry", what="the breaker")
            before = answered(dpu, "bad")
            await more_inferred(dpu, 100)
            assert answered(dpu, "bad") - before < 50, "the other one has them, but for probes"
            assert flow_of(dpu, "bad").openings > 0
            fault.unlink()
            await until(lambda: flow_of(dpu, "bad").breaker == "closed", what="a probe that succeeds")
            before = answered(dpu, "bad")
            await until(lambda: answered(dpu, "bad") > before + 10, what="tasks for it again")


async def test_a_worker_that_cannot_be_reached_at_all_is_said_at_start(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rdma, "device_ports", list)
    place = {"rdma": {"address": "192.0.2.20:7471", "secret": "open sesame, open"}}
    with pytest.raises(LaneError, match=r"^worker far: no lane is possible: no shm: .*; no rdma: .*RDMA.*; no grpc: "):
        async with running(tmp_path, {"cameras": looped(clip, 1), "workers": {"far": place}}, until_end=True):
            pass


async def test_a_lane_takes_the_best_way_that_answers(tmp_path: Path, clip: Path, sockets: Path) -> None:
    """auto: gRPC while no socket is there; shared memory at the next attach; the choice and its reason are told."""
    (tmp_path / "server").mkdir()
    section = {"engine": "null", "serve": {"grpc": {"port": 0}}}
    own = sockets / "own.sock"
    with inference_worker(tmp_path / "server", section, own) as worker:
        server = {"address": f"127.0.0.1:{worker.ports['grpc']}", "model": "detector"}
        linked = sockets / "lane.sock"
        place = {"socket": str(linked), "grpc": server}
        config = {"cameras": looped(clip, 2, analyse_fps=0), "workers": {"w": place}}
        memory = MemorySink(MemoryOptions(results=10_000))
        async with running(tmp_path, config, [memory]) as dpu:
            await more_inferred(dpu, 10)
            seen = told(dpu, "w")
            assert seen["carrier"] == "grpc"
            assert seen["choice"].startswith(f"no shm: no worker at {linked}: No such file or directory; no rdma: ")
            assert seen["link"]["counters"]["grpc_calls_ok"] >= 10
            linked.symlink_to(own)
            dpu.fleet.links["w"]._session._over.set()  # type: ignore[union-attr]
            await until(lambda: told(dpu, "w")["carrier"] == "shm", what="the better way")
            await more_inferred(dpu, 10)
            assert told(dpu, "w")["choice"] == "the best way there is"
        assert {result.lane for result in memory.results} == {"w/grpc", "w/shm"}, "each frame says who answered it"
