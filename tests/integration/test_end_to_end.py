"""Known targets through the whole pipe: RTSP, gates, ring, worker, Kafka; boxes asserted in source pixels.

A wrong letterbox, range, matrix or channel order must make this test fail: each is seeded once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines import build
from pipelines.contracts import Sink
from pipelines.model.fold import fold
from pipelines.model.options import FoldOptions
from pipelines.values import ColorMatrix, ColorRange
from tests.fakes.detector import save_detector
from tests.fakes.scene import CLASS_NAMES, Scene, SceneClip, clip
from tests.fakes.scene_match import Agreement
from tests.integration.pipe import Stamps, agreement, found_in, found_in_record, run_files, running, until
from tests.servers.cameras import rtsp_cameras
from tests.servers.kafka import KafkaServer
from tests.servers.kcat import read_topic

INPUT_WH = (416, 256)
OPEN_GATES: dict[str, Any] = {
    "gate": {"enabled": False},
    "motion": {"enabled": False},
    "presence": {"enabled": False},
    "validity": {"enabled": False},
    "episode": {"min_score": 0.5, "keep_score": 0.5},
}
RTSP_SCENES = (
    Scene(codec="h264", width=640, height=360, seconds=8, gop=25),
    Scene(
        codec="hevc", width=960, height=540, seconds=8, gop=25, matrix=ColorMatrix.BT601, color_range=ColorRange.FULL
    ),
    Scene(codec="h264", width=480, height=640, seconds=8, gop=25, b_frames=2),
)


def folded(directory: Path, source_wh: tuple[int, int], **options: Any) -> Path:
    """The hand-built detector, folded as a user's would be."""
    original = save_detector(directory / "scene.onnx", INPUT_WH, source_wh)
    target = directory / "scene.folded.onnx"
    fold(original, target, FoldOptions(name="scene", classes=CLASS_NAMES, score_threshold=0.5, **options))
    return target


async def seen(directory: Path, scene: Scene, camera: dict[str, Any], **fold_options: Any) -> Agreement:
    """What the pipe makes of one clip read as fast as possible, against its truth."""
    made = clip(scene)
    config = {
        "model": {"detector": str(folded(directory, scene.wh, **fold_options))},
        "defaults": OPEN_GATES | {"analyse_fps": 0, "file": {"paced": False}},
        "cameras": {"cam": {"url": str(made.path)} | camera},
    }
    with pytest.MonkeyPatch.context() as patch:
        stamps = Stamps()
        patch.setattr(build, "_source", stamps.tap())
        dpu, memory = await run_files(directory, config)
    assert dpu.cameras.ledgers()["cam"].outcomes == {"inferred": scene.frames}
    frames = [(stamps.frame("cam", r.sequence), found_in(r)) for r in memory.results]
    return agreement([(number, found) for number, found in frames if number is not None], made.truth)


@pytest.mark.parametrize(
    "scene",
    [
        Scene(seconds=4, codec="h264", width=640, height=360),
        Scene(seconds=4, codec="hevc", width=1280, height=720, color_range=ColorRange.FULL),
        Scene(seconds=4, codec="h264", width=1440, height=1080, matrix=ColorMatrix.BT601, b_frames=2),
        Scene(seconds=4, codec="h264", width=640, height=480, matrix=ColorMatrix.BT601, tagged=False),
        Scene(seconds=4, codec="hevc", width=360, height=640, matrix=ColorMatrix.BT601),
    ],
    ids=["h264-709-limited", "h265-709-full", "4:3-601-b-frames", "untagged-sd", "portrait"],
)
async def test_every_target_is_found_in_source_pixels(scene: Scene, tmp_path: Path) -> None:
    got = await seen(tmp_path, scene, {})
    assert got.required > 100
    assert got.recall >= 0.99, got.misses[:5]
    assert got.perfect >= 0.99


SEEDED = Scene(seconds=1, codec="h264", width=640, height=480)


@pytest.mark.parametrize(
    ("camera", "fold_options"),
    [
        ({"color": {"range": "full"}}, {}),
        ({"color": {"matrix": "bt601"}}, {}),
        ({}, {"channel_order": "bgr"}),
        ({}, {"anchor": "top_left"}),
        ({}, {"pad_rgb": (0, 0, 0)}),
    ],
    ids=["range", "matrix", "channel-order", "letterbox-anchor", "letterbox-pad"],
)
async def test_a_seeded_mistake_is_seen(camera: dict[str, Any], fold_options: dict[str, Any], tmp_path: Path) -> None:
    got = await seen(tmp_path, SEEDED, camera, **fold_options)
    assert got.recall < 0.9


async def test_without_the_seeds_the_same_scene_is_right(tmp_path: Path) -> None:
    got = await seen(tmp_path, SEEDED, {})
    assert got.recall >= 0.99


def acked(sink: Sink, least: int) -> bool:
    return sink.statistics().acked > least


@pytest.mark.rtsp
@pytest.mark.kafka
async def test_rtsp_to_kafka(tmp_path: Path, kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """H.264 and H.265 over a real RTSP server, through a real broker, read back by a client nobody here wrote."""
    clips = {f"cam{n}": clip(scene) for n, scene in enumerate(RTSP_SCENES)}
    stamps = Stamps()
    monkeypatch.setattr(build, "_source", stamps.tap())
    topic = f"detections-{os.getpid()}"
    async with rtsp_cameras([made.path for made in clips.values()]) as urls:
        # The padding is checked for one geometry only, so each camera has its own run of the pipe.
        for (camera, made), url in zip(clips.items(), urls, strict=True):
            config = {
                "model": {"detector": str(folded(tmp_path, made.scene.wh))},
                "cameras": {camera: OPEN_GATES | {"url": url, "analyse_fps": 10}},
                "sinks": {
                    "kafka": {
                        "type": "kafka",
                        "servers": [kafka.address],
                        "topic": f"{topic}-alerts",
                        "detections_topic": topic,
                        "idempotent": kafka.idempotent,
                    }
                },
            }
            async with running(tmp_path, config) as dpu:
                sink = dpu.sinks[0]
                await until(partial(acked, sink, 60), what="60 acknowledged records")
    await _check(kafka, topic, clips, stamps)


async def _check(kafka: KafkaServer, topic: str, clips: dict[str, SceneClip], stamps: Stamps) -> None:
    records = [json.loads(record.value) for record in await read_topic(kafka.address, topic)]
    for camera, made in clips.items():
        frames: list[tuple[int, Sequence[Any]]] = []
        for record in records:
            number = stamps.frame(camera, record["frame"])
            if record["camera_id"] == camera and number is not None:
                frames.append((number, found_in_record(record)))
        got = agreement(frames, made.truth)
        assert got.frames > 40
        assert got.recall >= 0.99, (camera, got.misses[:5])
        assert got.perfect >= 0.99
