"""The whole pipe between two hosts: over the RDMA lane the boxes are those of shared memory, bit for bit."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.hardware import roles
from tests.hardware.far import Far, Hosts, note

CLIP = "FRAMEGATE_RDMA_CLIP"
REASON = f"needs a clip and a folded model that both hosts have: scripts/rdma_vm names their folder in {CLIP}"
CAMERA: dict[str, Any] = {
    "gate": {"enabled": False},
    "motion": {"enabled": False},
    "presence": {"enabled": False},
    "validity": {"enabled": False},
    "episode": {"min_score": 0.5, "keep_score": 0.5},
    "analyse_fps": 0,
    "deadline_ms": 60_000,
    "file": {"paced": False},
}
pytestmark = pytest.mark.timeout(500)


@pytest.fixture
def footage() -> Path:
    folder = os.environ.get(CLIP)
    if not folder:
        pytest.skip(REASON)
    return Path(folder)


def deployment(directory: Path, footage: Path, lane: dict[str, Any], socket: Path) -> Path:
    """A configuration that plays the clip once and writes every frame's boxes to a file."""
    path = directory / "framegate.json"
    config = {
        "model": {"detector": str(footage / "scene.folded.onnx")},
        "worker": {"spawn": False, "threads": 1, "batch": {"max_batch": 2}, "socket": str(socket)},
        "http": {"enabled": False},
        "lane": {"ping_timeout_s": 30, "attach_timeout_s": 20} | lane,
        "cameras": {"cam": CAMERA | {"url": str(footage / "clip.mp4")}},
        "sinks": {
            "out": {
                "type": "jsonl",
                "path": str(directory / "alerts.jsonl"),
                "detections_path": str(directory / "boxes.jsonl"),
            }
        },
    }
    path.write_text(json.dumps(config))  # JSON is YAML
    return path


def lines(directory: Path) -> list[tuple[Any, ...]]:
    """What each JSON line says of its frame."""
    records = [json.loads(line) for line in (directory / "boxes.jsonl").read_text().splitlines()]
    return [(record["frame"], record["boxes"], record["classes"], record["scores"]) for record in records]


def test_boxes_equal_those_of_shared_memory(far: Far, pair_of_hosts: Hosts, footage: Path) -> None:
    """Once on the far host alone, over shared memory; once from here to there."""
    over_rdma = {"carrier": "rdma", "rdma": {"address": f"{pair_of_hosts.far}:{roles.PORT}", "secret": roles.SECRET}}
    frames, records = {}, {}
    for carrier, lane in (("shm", {}), ("rdma", over_rdma)):
        directory = footage / carrier
        directory.mkdir()
        config = deployment(directory, footage, lane, Path(f"/run/{carrier}.sock"))
        worker = far.start("framegate", argv=["worker", str(config)])
        arguments = {"config": str(config), "out": str(directory / "result.json")}
        if carrier == "shm":
            code, text = far.wait(far.start("pipe", **arguments))
            assert code == 0, text
        else:
            roles.pipe(**arguments)
        far.kill(worker, 15)
        code, text = far.wait(worker)
        assert code == 0, text
        result = json.loads((directory / "result.json").read_text())
        camera = result["report"]["cameras"]["cam"]
        assert (camera["imbalance"], camera["in_flight"]) == (0, 0)
        assert camera["outcomes"] == {"inferred": camera["packets"]}
        frames[carrier], records[carrier] = result["frames"], lines(directory)
    assert frames["rdma"] == frames["shm"]
    assert records["rdma"] == records["shm"]
    boxes = sum(len(record[1]) for record in records["rdma"])
    assert boxes > 20, "or it proves little"
    note(pipe={"frames": len(frames["rdma"]), "boxes": boxes})
