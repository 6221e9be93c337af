"""The shipped models on real footage with labels set by hand: the bounds that the card promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pipelines.model.known import SHIPPED_FOLDER
from pipelines.prefilter.presence import PresenceGate, PresenceModel, PresenceOptions
from pipelines.preprocess.thumbnail import luma_thumbnail
from pipelines.source.planes import planes
from pipelines.values import U8
from tests.footage import DATA, footage

ROOT = Path(__file__).parents[2]
THRESHOLD = 0.4
SAMPLES_PER_S = 5


@dataclass(frozen=True, slots=True)
class Watched:
    """One clip through the product's presence gate, five frames a second."""

    numbers: list[int]
    passed: np.ndarray[Any, np.dtype[np.bool_]]
    present: np.ndarray[Any, np.dtype[np.bool_]]
    events: list[tuple[int, int]]

    def passes_of(self, event: tuple[int, int]) -> list[int]:
        """Numbers of the frames of one event that passed."""
        return [n for n, passed in zip(self.numbers, self.passed, strict=True) if passed and event[0] <= n <= event[1]]


def watch(stem: str) -> Watched:
    """Background from the first frame on, as after a start, but without the 30 s in which everything passes."""
    truth = json.loads(footage(f"gt/{stem}.events.json").read_text())
    events = [(event["start_frame"], event["end_frame"]) for event in truth["events"]]
    gate = PresenceGate(PresenceModel(SHIPPED_FOLDER / "presence.onnx"), PresenceOptions())
    step = round(truth["fps"] / SAMPLES_PER_S)
    numbers, probabilities = [], []
    with av.open(str(footage(f"video/{stem}.mp4"))) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % step == 0:
                thumbnail: U8 = luma_thumbnail(planes(frame)[0])
                numbers.append(number)
                probabilities.append(gate.probability(thumbnail, round(number / truth["fps"] * 1e9)))
    present = np.array([any(first <= number <= last for first, last in events) for number in numbers])
    return Watched(numbers, np.array(probabilities) >= THRESHOLD, present, events)


@pytest.mark.parametrize(
    ("stem", "least_recall", "most_false"),
    [
        ("one-by-one-person-detection", 0.99, 0.10),  # two thirds of it were trained on
        ("car-detection", 0.95, 0.25),  # never trained on
    ],
)
def test_presence_passes_what_is_there_and_little_else(stem: str, least_recall: float, most_false: float) -> None:
    watched = watch(stem)

    assert watched.passed[watched.present].mean() >= least_recall
    assert watched.passed[~watched.present].mean() <= most_false
    for event in watched.events:
        assert watched.passes_of(event)[0] - event[0] <= 8, f"{event} is noticed late"


def test_presence_holds_a_static_dark_scene_with_fire_to_its_known_weakness() -> None:
    watched = watch("boof_rubixfire")

    assert not watched.present.any()
    assert watched.passed.mean() <= 0.6


def test_evaluate_measures_what_the_card_says_of_a_scene_never_trained_on(tmp_path: Path) -> None:
    footage("video/car-detection.mp4")
    report = tmp_path / "report.md"
    script = [sys.executable, str(ROOT / "scripts" / "train" / "evaluate.py")]
    options = ["--data", str(DATA), "--clips", "car_detection", "--no-latency", "--report", str(report)]
    environment = {**os.environ, "HOME": str(tmp_path)}  # the folded model goes into the user's cache
    subprocess.run([*script, *options], check=True, env=environment, cwd=tmp_path, capture_output=True, timeout=110)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in report.read_text().splitlines()]
    presence = next(row for row in rows if row[:3] == ["car_detection", "clip", "gt"] and len(row) > 10)
    by_frame = [row for row in rows if row[:3] == ["car_detection", "clip", "gt"] and len(row) < 10]

    assert presence[3:8] == ["72", "97.2 %", "97.2 %", "97.2 %", "97.2 %"]
    assert [row[3] for row in by_frame] == ["card", "product"]
    for _, _, _, _, present, found, empty, false in by_frame:
        assert (present, empty) == ("72", "117")
        assert float(found.split()[0]) >= 85
        assert float(false.split()[0]) <= 5
