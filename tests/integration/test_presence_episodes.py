"""Real people through the whole pipe with the shipped models: each visit is one alert, and an empty room is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.values import AlertType
from tests.footage import footage
from tests.integration.pipe import run_files

TOLERANCE_S = 0.2
"""One frame of the truth's tolerance and one of rounding, at 10 frames per second."""


@pytest.mark.footage
async def test_each_visit_is_one_episode(tmp_path: Path) -> None:
    path = footage("video/one-by-one-person-detection.mp4")
    truth: dict[str, Any] = json.loads(footage("gt/one-by-one-person-detection.events.json").read_text())
    visits = [(event["start_s"] - TOLERANCE_S, event["end_s"] + TOLERANCE_S) for event in truth["events"]]
    dpu, memory = await run_files(tmp_path, {"cameras": {"door": {"url": str(path), "file": {"paced": False}}}})

    media_s = {str(result.task): result.time_ns / 1e9 for result in memory.results}
    begun = [alert for alert in memory.alerts if alert.type is AlertType.NEW]
    visit_of = {alert.event_id: index_of(media_s[alert.task_id], visits) for alert in begun}
    assert sorted(visit_of.values()) == list(range(6)), f"one each: {[media_s[alert.task_id] for alert in begun]}"
    for alert in memory.alerts:
        at_s = media_s[alert.task_id]
        assert index_of(at_s, visits) == visit_of[alert.event_id], f"{alert.type} at {at_s:.1f} s: nobody is there"
        assert "person" in alert.classes
    ended = [alert.event_id for alert in memory.alerts if alert.type is AlertType.END]
    assert sorted(ended) == sorted(visit_of)
    assert dpu.cameras.ledgers()["door"].packets == truth["frames"]


def index_of(at_s: float, visits: list[tuple[float, float]]) -> int:
    """Which visit a time belongs to; -1: none."""
    return next((index for index, (start_s, end_s) in enumerate(visits) if start_s <= at_s <= end_s), -1)
