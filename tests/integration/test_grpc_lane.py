"""The whole pipe with its engine at a server of the Open Inference Protocol: our worker, as a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pipelines.sink.memory import MemorySink
from pipelines.values import Cause, Outcome
from tests.fakes.rtsp_clips import write_clip
from tests.integration.command import short_tmp
from tests.integration.load import OPEN, caused, looped, more_inferred, outcomes
from tests.integration.pipe import Config, run_files, running, until
from tests.servers.certificate import make_certificates
from tests.servers.inference import inference_worker
from tests.servers.process import free_port

TOKEN = "open sesame"
ALONE = {"batch": {"max_batch": 1}, "threads": 1}
"""A batch of one: sums in another order would differ in their last bits."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", wh=(320, 192), options={"g": "10", "bf": "0"})


@pytest.fixture
def sockets() -> Iterator[Path]:
    with short_tmp() as made:
        yield made


def over_grpc(port: int, **more: object) -> Config:
    server = {"address": f"localhost:{port}", "model": "detector", **more}
    fast = {"ping_interval_s": 0.2, "ping_timeout_s": 2.0}
    return {"lane": {"carrier": "grpc", "grpc": server, **fast}, "worker": {"spawn": False, "threads": 1}}


def found(memory: MemorySink) -> dict[tuple[str, int], object]:
    """Every result's boxes, scores and classes."""
    return {
        (r.camera, r.sequence): (
            r.detections.xyxy.tolist(),
            r.detections.scores.tolist(),
            r.detections.classes.tolist(),
        )
        for r in memory.results
    }


async def test_boxes_are_those_of_the_shared_memory_lane(tmp_path: Path, clip: Path, sockets: Path) -> None:
    """Bit for bit; through TLS with certificates of both sides, and a token."""
    unhurried = {"file": {"paced": False}, "analyse_fps": 0}  # no deadlines: each frame is answered
    cameras = {"hall": {"url": str(clip), "episode": {"min_score": 0.02}, **unhurried, **OPEN}}
    (tmp_path / "shm").mkdir()
    shm_dpu, shm = await run_files(tmp_path / "shm", {"cameras": cameras, "worker": ALONE})

    made = make_certificates(tmp_path / "tls")
    tls = {"cert_file": str(made.server_cert), "key_file": str(made.server_key), "client_ca_file": str(made.ca)}
    ours = {"ca_file": str(made.ca), "cert_file": str(made.client_cert), "key_file": str(made.client_key)}
    section = {**ALONE, "serve": {"grpc": {"port": 0, "token": TOKEN, "tls": tls}}}
    with inference_worker(tmp_path, section, sockets / "w.sock") as worker:
        lane = over_grpc(worker.ports["grpc"], token=TOKEN, tls=ours)
        dpu, grpc = await run_files(tmp_path, {"cameras": cameras, **lane})

    assert dpu.cameras.ledgers()["hall"].outcomes == shm_dpu.cameras.ledgers()["hall"].outcomes
    assert found(grpc) == found(shm)
    assert sum(len(result.detections) for result in shm.results) > 20, "or the comparison proves little"
    assert dpu.cameras.ledgers()["hall"].outcomes == shm_dpu.cameras.ledgers()["hall"].outcomes


async def test_a_killed_server_is_used_again_when_it_is_back(tmp_path: Path, clip: Path, sockets: Path) -> None:
    """kill -9 under load: what it held fails, named, every account balances, and work goes on by itself."""
    port = free_port()
    section = {"engine": "null", "serve": {"grpc": {"port": port}}}
    config = {"cameras": looped(clip, 4, analyse_fps=0), **over_grpc(port)}
    with ExitStack() as first:
        first_folder, second_folder = tmp_path / "first", tmp_path / "second"
        first_folder.mkdir()
        second_folder.mkdir()
        worker = first.enter_context(inference_worker(first_folder, section, sockets / "a.sock"))
        async with running(tmp_path, config) as dpu:
            await more_inferred(dpu, 50)
            worker.kill()
            await until(lambda: dpu.inflight.writer is None, what="the lane noticed the loss")
            await asyncio.to_thread(first.close)
            with inference_worker(second_folder, section, sockets / "b.sock"):
                await more_inferred(dpu, 50)
                lost = caused(dpu, Outcome.FAILED, Cause.PEER_LOST)
                assert lost + caused(dpu, Outcome.FAILED, Cause.NO_WORKER) == outcomes(dpu, Outcome.FAILED)
