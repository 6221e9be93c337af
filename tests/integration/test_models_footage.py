"""Real detectors on real footage: folded against unfolded, and against the usual preprocessing."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from pipelines.model.card import find_card
from pipelines.model.catalog import resolve
from pipelines.model.check import row_difference
from pipelines.model.known import SHIPPED_FOLDER
from pipelines.model.reference import picture
from pipelines.worker.engines.onnx import OnnxEngine
from tests.fakes.usual import affine_of, matched, our_boxes, our_planes, pictures, unfolded, usual_boxes
from tests.footage import footage

pytestmark = pytest.mark.footage

DETECTOR = SHIPPED_FOLDER / "detector.onnx"
MODELS = {"yolox_nano": "models/yolox_nano_416.onnx", "detector": None}
CLIPS = {
    "one-by-one-person-detection.mp4": 30,
    "opendatacam_intersection.mp4": 20,
    "car-detection.mp4": 8,
    "boof_highway_bridge_jitter.mp4": 20,
}
"""Clip and how many frames to step: some twenty to forty pictures of each."""


def model_file(name: str) -> Path:
    relative = MODELS[name]
    if relative is not None:
        return footage(relative)
    if find_card(DETECTOR) is not None:
        pytest.skip("the shipped detector is folded already: there is no original to compare with")
    return DETECTOR


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("wh", [(416, 256), (416, 416)])
def test_folded_equals_unfolded_on_the_same_planes(name: str, wh: tuple[int, int], cache: Path) -> None:
    """Float RGB made from the very planes that the folded model gets; batch 1 and 8, cameras mixed."""
    original = unfolded(model_file(name), wh)
    clips = [footage(f"video/{c}") for c in ("opendatacam_intersection.mp4", "mpf_five-second-marathon-clip.mkv")]
    engine = OnnxEngine(resolve(model_file(name), wh, cache=cache))
    frames = [p.frame for clip in clips for p in islice(pictures(clip, 20), 4)]
    payloads = [our_planes(engine.card, frame)[0] for frame in frames]
    color = np.stack([affine_of(engine.card, f.color_range, f.color_matrix) for f in frames])
    assert len({f.color_range for f in frames}) == 2, "limited and full range in one batch"

    expected = [
        original.rows(picture(p, engine.card, f.color_range, f.color_matrix))
        for p, f in zip(payloads, frames, strict=True)
    ]
    alone = [engine.infer([p], c[None])[0] for p, c in zip(payloads, color, strict=True)]
    together = engine.infer(payloads, color)

    assert max(e[:, 4].max() for e in expected) > 0.5, "something is to be seen"
    assert max(row_difference(a, e) for a, e in zip(alone, expected, strict=True)) <= 1e-3
    assert max(row_difference(a, e) for a, e in zip(together, expected, strict=True)) <= 1e-3


@pytest.mark.parametrize("clip", CLIPS)
def test_usual_preprocessing_finds_no_more(clip: str, cache: Path) -> None:
    """Boxes that the usual way scores t + 0.05 are found by planes and the folded model at t."""
    path, threshold = footage(f"video/{clip}"), 0.3
    source = model_file("yolox_nano")
    engine, original = OnnxEngine(resolve(source, (416, 256), cache=cache)), unfolded(source, (416, 256))
    wanted = found = 0
    for shown in pictures(path, CLIPS[clip]):
        usual = usual_boxes(original, engine.card, shown.rgb, threshold)
        strong = usual[usual[:, 4] >= threshold + 0.05]
        wanted += len(strong)
        found += matched(strong, our_boxes(engine, shown.frame, threshold))

    assert wanted >= 10
    assert found / wanted >= 0.99, f"{found} of {wanted}"


def test_the_file_as_it_came_finds_no_more_at_its_own_size(cache: Path) -> None:
    """16:9 content is as large in 416x416 as in 416x256: the untouched file is the truth for the smaller input."""
    path, source = footage("video/one-by-one-person-detection.mp4"), model_file("yolox_nano")
    engine, original = OnnxEngine(resolve(source, (416, 256), cache=cache)), unfolded(source, (416, 416))
    wanted = found = 0
    for shown in pictures(path, 30):
        usual = usual_boxes(original, engine.card, shown.rgb, 0.3)
        strong = usual[usual[:, 4] >= 0.4]
        wanted += len(strong)
        found += matched(strong, our_boxes(engine, shown.frame, 0.3))

    assert wanted >= 10
    assert found / wanted >= 0.95, f"{found} of {wanted}"


def test_the_shipped_detector_finds_people(cache: Path) -> None:
    """By its name, through the catalogue, at the threshold its card advises."""
    path = footage("video/one-by-one-person-detection.mp4")
    engine = OnnxEngine(resolve("detector", cache=cache))
    card = engine.card
    seen = [our_boxes(engine, shown.frame, card.score_threshold) for shown in pictures(path, 60)]

    assert card.classes == ("person", "vehicle")
    assert sum(len(rows) for rows in seen) >= 5
    assert all(card.classes[int(kind)] == "person" for rows in seen for kind in rows[:, 5])
