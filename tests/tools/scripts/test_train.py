"""The training and evaluation scripts: their pure parts. Training itself needs torch, which is no dependency."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

TRAIN = Path(__file__).parents[3] / "scripts" / "train"


class Scripts:
    """`scripts.NAME`: a module of scripts/train, imported as the scripts import one another."""

    def __getattr__(self, name: str) -> ModuleType:
        return importlib.import_module(name)


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripts]:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(TRAIN))
    yield Scripts()
    for name in {path.stem for path in TRAIN.glob("*.py")} & (set(sys.modules) - before):
        del sys.modules[name]


def boxes(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, float).reshape(-1, 6)


def test_evaluation_needs_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import evaluate, prepare_data"
    result = subprocess.run([sys.executable, "-c", code], cwd=TRAIN, capture_output=True, text=True, timeout=60)

    assert result.returncode == 0, result.stderr


def test_the_last_third_of_a_training_clip_is_held_out_and_all_of_the_others(scripts: Scripts) -> None:
    clips = scripts.clip.CLIPS

    assert scripts.clip.held_out_from(clips["one_by_one"], 697) == 465
    assert scripts.clip.held_out_from(clips["car_detection"], 189) == 0
    assert {c.name for c in clips.values() if c.role == "holdout"} == {"car_detection", "man_walking"}


def test_each_truth_is_matched_once_and_weak_labels_count_neither_way(scripts: Scripts) -> None:
    labels = boxes((0, 0, 10, 10, 0.9, 0), (50, 50, 60, 60, 0.2, 0), (0, 0, 10, 10, 0.9, 1))
    found = boxes(
        (0, 0, 10, 10, 0.8, 0),  # a hit
        (0, 0, 10, 9, 0.7, 0),  # the same truth again: false
        (50, 50, 60, 60, 0.6, 0),  # what the teacher was not sure of
        (80, 80, 90, 90, 0.5, 0),  # false
    )

    assert scripts.metric.match(found, labels, 0) == ([(0.8, 1), (0.7, 0), (0.5, 0)], 1)
    assert scripts.metric.match(found[:0], labels, 1) == ([], 1)


def test_average_precision_of_a_known_ranking(scripts: Scripts) -> None:
    assert scripts.metric.average_precision([(0.9, 1), (0.8, 0), (0.7, 1)], 2) == pytest.approx((1 + 2 / 3) / 2)
    assert scripts.metric.average_precision([(0.9, 1)], 4) == pytest.approx(0.25)
    assert scripts.metric.average_precision([], 3) == 0


def test_threshold_and_auc(scripts: Scripts) -> None:
    scores = np.arange(100) / 100

    assert scripts.metric.threshold_at(scores, 0.95) == pytest.approx(0.05)
    assert (scores >= scripts.metric.threshold_at(scores, 0.95)).mean() == pytest.approx(0.95)
    assert scripts.metric.auc(np.array([0.9, 0.8]), np.array([0.1, 0.8])) == pytest.approx(0.875)


def test_suppression_is_per_class(scripts: Scripts) -> None:
    rows = boxes((0, 0, 10, 10, 0.5, 0), (0, 0, 10, 9, 0.9, 0), (0, 0, 10, 10, 0.4, 1))

    assert scripts.box.nms(rows)[:, 4].tolist() == [0.9, 0.4]
    assert scripts.box.nms(rows[:0]).shape == (0, 6)


def test_letterbox_and_boxes_are_inverse(scripts: Scripts) -> None:
    planes, scale, x, y = scripts.detector_box.letterbox(np.zeros((540, 960, 3), np.uint8))

    assert planes.shape == (3, 256, 416)
    assert (x, y) == (0, 11)
    assert planes[:, :11].min() == pytest.approx(114 / 255)
    assert scale == pytest.approx(416 / 960)
    output = np.zeros((6, 3), np.float32)
    output[:, 1] = (100, 50, 20, 10, 0.1, 0.7)
    assert scripts.detector_box.boxes_of(output) == pytest.approx(boxes((90, 45, 110, 55, 0.7, 1)))


def test_the_background_follows_slowly(scripts: Scripts) -> None:
    thumbs = np.full((3, 96, 160), 100, np.uint8)
    means = scripts.evaluate_presence.backgrounds(thumbs, [0.0, 15.0, 30.0], np.zeros((96, 160)))

    assert means[:, 0, 0].tolist() == [0, 0, 50]


def test_a_cache_is_read_as_it_was_written_without_pickles(scripts: Scripts, tmp_path: Path) -> None:
    clip = scripts.cache.CachedClip(
        name="a",
        role="train",
        fixed=True,
        times_s=[0.0],
        numbers=[0],
        present=np.array([1]),
        labels="gt",
        held_out=1,
        boxes=[boxes((1, 2, 3, 4, 0.5, 1))],
        frames=np.zeros((1, 4, 6, 3), np.uint8),
    )
    sprites = [
        scripts.sprite.Sprite(kind, name, np.full((2, kind + 1, 4), 7, np.uint8)) for kind, name in ((1, "a"), (0, "b"))
    ]
    scripts.cache.write_clip(tmp_path, clip)
    scripts.cache.write_sprites(tmp_path, sprites)
    scripts.cache.write_textures(tmp_path, [np.ones((2, 3, 3), np.uint8)])

    read = scripts.cache.read_clips(tmp_path, ("train",))["a"]
    assert read.boxes[0] == pytest.approx(clip.boxes[0])
    assert read.frames.shape == (1, 4, 6, 3)
    assert scripts.cache.read_clips(tmp_path, ("train",), exclude=["a"]) == {}
    assert [(s.kind, s.clip) for s in scripts.cache.read_sprites(tmp_path)] == [(1, "a"), (0, "b")]
    assert [s.clip for s in scripts.cache.read_sprites(tmp_path, exclude=["a"])] == ["b"]
    assert scripts.cache.read_textures(tmp_path)[0].shape == (2, 3, 3)
    assert not any(b"\x80\x04" in path.read_bytes()[:2] for path in tmp_path.iterdir())
