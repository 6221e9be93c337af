"""A split detector through the whole pipe: pre here, main in a worker process, post here; the boxes of the whole."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.observe.report import build_report
from pipelines.model.fold import fold
from pipelines.model.options import FoldOptions
from pipelines.model.split import SplitOptions, split
from pipelines.model.split_ends import SplitEnds
from pipelines.transport.options import LaneOptions
from pipelines.transport.tensor_lane import misfit
from pipelines.values import Cause, FrameResult, Outcome
from tests.fakes.detector import save_detector
from tests.fakes.scene import CLASS_NAMES, Scene, SceneClip, clip
from tests.footage import footage
from tests.integration.load import caused, more_inferred
from tests.integration.pipe import Config, run_files, running, until

SCENE = Scene(seconds=2, codec="h264", width=320, height=192)
OPEN = {name: {"enabled": False} for name in ("gate", "motion", "presence", "validity")}
WORKER = {"engine": "onnx", "threads": 1}
CUTS = {
    "colours here": (("images",), ()),
    "head here": (("images",), ("n60",)),
    "several tensors": (("n7", "images"), ("n34", "n59")),
    "half of it beside the worker": (("n7",), ("n34",)),
    "nothing before": ((), ("n60",)),
}
"""Tensors of the folded scene detector, at the two cuts."""


@pytest.fixture(scope="module")
def scene() -> SceneClip:
    return clip(SCENE)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    save_detector(folder / "source.onnx", (160, 96))
    fold(folder / "source.onnx", folder / "scene.onnx", FoldOptions(name="scene", classes=CLASS_NAMES, top_k=20))
    return folder / "scene.onnx"


def cut(model: Path, target: Path, name: str) -> Path:
    first, second = CUTS[name]
    split(model, target, SplitOptions(first=first, second=second, runs=3, force=True))
    return target


def config(model: Path, url: Path, **camera: Any) -> Config:
    cameras = {"cam": OPEN | {"url": str(url), "analyse_fps": 0, "file": {"paced": False}} | camera}
    return {"model": {"detector": str(model)}, "worker": WORKER, "cameras": cameras}


async def results_of(folder: Path, model: Path, url: Path, fps: float = 0) -> dict[int, FrameResult]:
    folder.mkdir()
    dpu, memory = await run_files(folder, config(model, url, analyse_fps=fps))
    ledger = dpu.cameras.ledgers()["cam"]
    assert ledger.outcomes[Outcome.INFERRED] == ledger.due
    return {result.sequence: result for result in memory.results}


def largest_difference(one: dict[int, FrameResult], other: dict[int, FrameResult]) -> float:
    """Of boxes, in source pixels, and of scores; all frames have the same detections in the same order."""
    assert one.keys() == other.keys()
    worst = 0.0
    for sequence, a in one.items():
        b = other[sequence]
        assert a.detections.classes.tolist() == b.detections.classes.tolist()
        assert (a.model, a.class_names, a.source_wh) == (b.model, b.class_names, b.source_wh)
        if len(a.detections):
            worst = max(worst, float(np.abs(a.detections.xyxy - b.detections.xyxy).max()))
            worst = max(worst, float(np.abs(a.detections.scores - b.detections.scores).max()))
    return worst


@pytest.mark.parametrize("name", CUTS)
async def test_the_chain_finds_what_the_whole_finds(tmp_path: Path, scene: SceneClip, whole: Path, name: str) -> None:
    parts = cut(whole, tmp_path / "parts", name)
    expected = await results_of(tmp_path / "a", whole, scene.path)
    found = await results_of(tmp_path / "b", parts, scene.path)
    assert sum(len(result.detections) for result in expected.values()) > 20
    assert largest_difference(expected, found) < 1e-3


async def test_yolox_nano_through_the_pipe(tmp_path: Path) -> None:
    """The trained one, cut behind its first stage and before its head is decoded."""
    source = footage("models/yolox_nano_416.onnx")
    crowd = footage("video/mpf_five-second-marathon-clip.mkv")
    fold(source, tmp_path / "folded.onnx", FoldOptions(name="yolox_nano"))
    split(
        tmp_path / "folded.onnx",
        tmp_path / "parts",
        SplitOptions(first=("1180",), second=("output",), runs=3, force=True),
    )
    expected = await results_of(tmp_path / "a", tmp_path / "folded.onnx", crowd, 5)
    found = await results_of(tmp_path / "b", tmp_path / "parts", crowd, 5)
    assert sum(len(result.detections) for result in expected.values()) > 100
    assert largest_difference(expected, found) < 1e-2


async def test_a_worker_without_the_other_parts_gets_nothing_and_says_why(
    tmp_path: Path, scene: SceneClip, whole: Path
) -> None:
    """This process was told of the whole model, the worker of a folder with parts."""
    parts = cut(whole, tmp_path / "parts", "head here")
    live = config(whole, scene.path, file={"paced": True, "loop": True})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.fleet.Fleet._command", _with_detector(str(parts)))
        async with running(tmp_path, live) as dpu:
            await until(lambda: dpu.fleet.workers.observe().refused != {}, what="the refusal")
            (reason,) = dpu.fleet.workers.observe().refused.values()
            assert "serves the middle part of the split model scene: name the folder" in reason
            assert build_report(dpu.observe())["degraded"]["answerer"] == "presence"


def _with_detector(model: str) -> Any:
    from app.fleet import Fleet

    original = Fleet._command

    def command(fleet: Fleet, socket: Path) -> list[str]:
        own = fleet._config
        other = own.model_copy(update={"model": own.model.model_copy(update={"detector": model})})
        fleet._config = other
        try:
            return original(fleet, socket)
        finally:
            fleet._config = own

    return command


def test_other_parts_and_slots_too_small_are_refused_with_figures(tmp_path: Path, whole: Path) -> None:
    ends = SplitEnds(cut(whole, tmp_path / "parts", "several tensors"))
    ends.load()
    card = ends.lane_card
    assert misfit(ends, card) == ""
    assert misfit(None, replace(card, tensor_bytes=0)) == ""
    assert "give both sides the same folder" in misfit(ends, replace(card, sha256="0" * 64))
    small = misfit(ends, replace(card, tensor_bytes=1000, top_k=2))
    assert f"{card.tensor_bytes:,} bytes up and {card.top_k * 24:,} down; they hold 1,000 and 48" in small


async def test_when_the_worker_of_a_split_model_dies_the_own_detector_has_the_pictures(
    tmp_path: Path, scene: SceneClip, whole: Path
) -> None:
    """What crosses is no picture; the pictures are kept beside it for as long as a worker has the task."""
    parts = cut(whole, tmp_path / "parts", "head here")
    live = config(parts, scene.path, file={"paced": True, "loop": True})
    patient = {"lane": LaneOptions(ping_timeout_s=20).model_dump(include={"ping_timeout_s"})}
    async with running(tmp_path, live | patient | {"degraded": {"detector": str(whole), "cores": 2}}) as dpu:
        await more_inferred(dpu, 20)
        pid = dpu.fleet.supervisors["worker"].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: caused(dpu, Outcome.DEGRADED, Cause.DETECTOR) > 10, what="answers")
        os.kill(pid, signal.SIGKILL)
        await more_inferred(dpu, 20, 60)
