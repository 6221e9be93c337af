"""The report says what was measured, in the form that was promised."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import pytest

from app.bench.recall import add_recall
from pipelines.errors import ConfigError
from scripts.bench.recall.command import run_recall
from scripts.bench.recall.curve import Point
from scripts.bench.recall.evaluate import BASELINES, OURS, PREDICTORS, Evaluated, Shipped
from scripts.bench.recall.plot import draw
from scripts.bench.recall.report import build, figures, pooled, suites


def scene(name: str, kind: str, held_out: bool = True, activity: float = 0.05) -> Evaluated:
    other: tuple[Point, ...] = (Point(1.0, 900, 1000, 4, 4),)
    curves = dict.fromkeys([*BASELINES, *PREDICTORS], other)
    curves[OURS] = (Point(1.0, 200, 1000, 4, 4), Point(2.0, 100, 1000, 4, 3))
    if kind == "bad":
        curves[OURS] = (Point(1.0, 950, 1000, 4, 4),)
    shipped = Shipped(Point(2.0, 100, 1000, 4, 3), (120.0, 300.0, 80.0), 5, 0)
    return Evaluated(name, kind, held_out, activity, 4, 1, 1.0, curves, shipped, 12.3, 1.5e6)


def test_the_report_has_its_promised_form() -> None:
    document = json.loads(json.dumps(build([scene("a", "x"), scene("b", "y")], {"detector_sha256": "00"})))

    one = document["scenes"]["a"]
    assert set(one) >= {"activity", "held_out", "decode_saved_at", "wake_ms", "gate_us_per_packet"}
    assert one["decode_saved_at"] == {"90": 0.8, "95": 0.8, "99": 0.8}
    assert one["wake_ms"] == {"p50": 120.0, "p95": 300.0}
    sparse = document["suites"]["sparse"]
    assert sparse["decode_saved_at"] == {"90": 0.8, "95": 0.8, "99": 0.8}
    assert sparse["events"] == 8
    assert sparse["ci95"] == [0.676, 1.0]
    assert sparse["shipped"]["recall"] == 0.75
    assert document["baselines"]["key_frames"]["decode_saved_at"]["95"] == 0.1
    assert document["classes"]["x"]["events"] == 4
    assert document["worse_than_a_baseline"] == []
    assert figures({**document, "wall_s": 1})["suites"]["sparse"]["decode_saved_at"]["95"] == 0.8


def test_only_held_out_scenes_of_little_activity_are_sparse() -> None:
    groups = suites([scene("a", "x"), scene("b", "x", held_out=False), scene("c", "x", activity=0.2)])

    assert [one.name for one in groups["sparse"]] == ["a"]
    assert [one.name for one in groups["held_out"]] == ["a", "c"]
    assert [one.name for one in groups["development"]] == ["b"]


def test_it_says_where_a_baseline_is_better() -> None:
    worse = build([scene("a", "x"), scene("b", "bad")], {})["worse_than_a_baseline"]

    assert {one["source"] for one in worse} == {"bad"}
    assert {"source": "bad", "baseline": "every_nth", "recall": "90", "ours": 0.05, "theirs": 0.1} in worse


def test_the_curves_are_drawn(tmp_path: Path) -> None:
    scenes = [scene("a", "x")]

    draw(tmp_path / "curves.png", {"sparse": {name: pooled(scenes, name) for name in (*PREDICTORS, *BASELINES)}})

    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture is not None
    assert picture.shape == (560, 760, 3)
    assert len({tuple(pixel) for pixel in picture.reshape(-1, 3)[::7].tolist()}) > 10


def test_a_gate_option_that_is_none_is_refused() -> None:
    parser = argparse.ArgumentParser()
    add_recall(parser)

    with pytest.raises(ConfigError, match="hold"):
        run_recall(parser.parse_args(["--gate", "hold=2"]))
    with pytest.raises(ConfigError, match="hold_s"):
        run_recall(parser.parse_args(["--gate", "hold_s=never"]))
