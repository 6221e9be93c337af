"""`framegate demo` as a person runs it: cameras from a clip, alerts, pictures that can be opened, balanced accounts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2

ROOT = Path(__file__).parents[2]


def test_demo_tells_alerts_and_accounts_for_every_packet(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    command = [sys.executable, "-m", "scripts.footage", str(clip), "--seconds", "12", "--size", "640x360"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=100)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "app", "demo", "--clip", str(clip), "--cameras", "2", "--seconds", "14"]
    done = subprocess.run(
        [*command, "--out", str(out), "--report", str(tmp_path / "report.json")],
        cwd=ROOT, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "Every packet accounted for" in done.stdout

    report = json.loads((tmp_path / "report.json").read_text())
    assert len(report["cameras"]) == 2
    for camera in report["cameras"].values():
        assert camera["imbalance"] == camera["in_flight"] == 0
        assert camera["packets"] == sum(camera["outcomes"].values()) > 50
    assert report["alerts"] >= 1
    assert report["latency_ms"]["arrival_to_result"]["p50"] > 0
    alerts = [json.loads(line) for line in (out / "alerts.jsonl").read_text().splitlines()]
    begun = [alert for alert in alerts if alert["type"] == "new"]
    assert len(begun) == report["alerts"]
    for alert in begun:
        picture = cv2.imread(alert["snapshot"])
        assert picture is not None
        assert picture.shape == (360, 640, 3)
