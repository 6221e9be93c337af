"""A bug in a camera's own thread: it is named, comes back with a brake, and no packet is left without outcome."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.observe.report import build_report
from pipelines.framepath import FramePath
from pipelines.sender import Sender
from pipelines.values import CameraState, Cause, Outcome
from tests.fakes.rtsp_clips import write_clip
from tests.integration.load import NULL_WORKER, caused, looped, more_inferred, outcomes
from tests.integration.pipe import running, until


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # With B-frames: pictures are still inside the decoder when the thread dies.
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", wh=(320, 192), options={"g": "10", "bf": "2"})


@pytest.mark.parametrize(("what", "where"), [(FramePath, "frame"), (Sender, "_publish")])
async def test_a_bug_costs_its_camera_seconds_and_the_others_nothing(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, what: type, where: str
) -> None:
    """`frame`: with a picture in hand; `_publish`: with a slot in hand, which must not be lost to the ring."""
    original = getattr(what, where)
    bugs = 0

    def buggy(path: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal bugs
        if path._parts.camera == "file0" and bugs < 2:
            bugs += 1
            raise ZeroDivisionError("bug at rtsp://user:secret@camera/")
        return original(path, *arguments, **named)

    config = {"cameras": looped(clip, 2, analyse_fps=0), "worker": NULL_WORKER}
    async with running(tmp_path, config) as dpu:
        await more_inferred(dpu, 20)
        monkeypatch.setattr(what, where, buggy)
        await until(lambda: dpu.cameras.deaths("file0") == 2, what="the second death")
        told = build_report(dpu.observe())["cameras"]["file0"]
        assert told["state"] == CameraState.BACKOFF
        assert "internal error: ZeroDivisionError('bug at rtsp://***@camera/')" in told["reason"]
        await until(lambda: dpu.cameras.pumps["file0"].state is CameraState.LIVE, what="the camera back")
        await more_inferred(dpu, 50)
        assert dpu.cameras.deaths("file1") == 0
        assert caused(dpu, Outcome.FAILED, Cause.INTERNAL) == outcomes(dpu, Outcome.FAILED) >= 2
        assert dpu.cameras.ledgers()["file1"].outcomes.get(Outcome.FAILED, 0) == 0
        assert dpu.inflight.writer is not None
        lane = dpu.inflight.writer.statistics()
        assert lane.loaned - lane.published - lane.discarded <= 2, "no slot is lost: at most each pump has one in hand"
        assert lane.discarded == (2 if where == "_publish" else 0)
