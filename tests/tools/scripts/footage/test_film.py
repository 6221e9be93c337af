"""The demo's footage: empty stretches, whole crossings, a truth that fits the pictures."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from scripts.footage.__main__ import cached
from scripts.footage.film import Film, make
from scripts.footage.place import place
from scripts.footage.story import story

SMALL = Film(seconds=14, width=320, height=180, fps=5)


def truth_of(path: Path) -> dict[str, Any]:
    truth: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    return truth


def lumas(path: Path) -> list[np.ndarray[Any, Any]]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="yuv420p")[: frame.height].astype(int) for frame in container.decode(video=0)]


@pytest.mark.parametrize("variant", range(4))
def test_every_clip_has_crossings_with_empty_stretches_around_them(variant: int) -> None:
    """Else alerts would neither begin nor end. Stretches of 3.5 s at least: an episode ends after 2 s without."""
    rng = np.random.default_rng((variant, 3))
    actors = story(place(variant, (320, 180), rng), (320, 180), 30.0, rng)

    busy = [any(actor.at(tenth / 10) for actor in actors) for tenth in range(300)]
    runs = [(present, len(list(run))) for present, run in groupby(busy)]

    assert runs[0] == (False, 20)
    assert runs[-1][0] is False
    assert sum(present for present, _ in runs) >= 2
    assert all(length >= 35 for present, length in runs[1:-1] if not present)


def test_the_picture_changes_where_the_truth_says_and_nowhere_else(tmp_path: Path) -> None:
    path = make(tmp_path / "clip.mp4", SMALL)
    truth, pictures = truth_of(path), lumas(path)

    assert len(pictures) == len(truth["frames"]) == 70
    seen = 0
    for picture, boxes in zip(pictures, truth["frames"], strict=True):
        changed = np.abs(picture - pictures[0]) > 25
        for box in boxes:
            x0, y0, x1, y1 = (round(edge) for edge in box["xyxy"])
            if box["visible"] > 0.5:
                seen += 1
                assert changed[y0:y1, x0:x1].mean() > 0.15
            # A few pixels of room for the blur, the soft shadow at the feet is more than that below.
            changed[max(0, y0 - 3) : y1 + 8, max(0, x0 - 8) : x1 + 8] = False
        assert changed.mean() < 0.001
    assert seen > 10


def test_a_street_has_vehicles_and_people() -> None:
    rng = np.random.default_rng((0, 3))
    kinds = {actor.kind for actor in story(place(0, (320, 180), rng), (320, 180), 30.0, rng)}

    assert kinds == {"person", "vehicle"}


def test_the_clip_says_its_color_space_and_rate(tmp_path: Path) -> None:
    path = make(tmp_path / "clip.mp4", Film(seconds=1, width=320, height=180, fps=5, codec="hevc"))

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(video=0))

    assert stream.average_rate == 5
    assert (int(frame.color_range), int(frame.colorspace)) == (1, 6)


def test_clips_are_made_once_and_again_for_other_wishes(tmp_path: Path) -> None:
    film = Film(seconds=0.4, width=64, height=48, fps=5)

    first = cached(film, 2, tmp_path)
    made = [path.stat().st_mtime_ns for path in first]

    assert [path.stat().st_mtime_ns for path in cached(film, 2, tmp_path)] == made
    assert first == cached(film, 2, tmp_path)
    assert set(cached(film, 1, tmp_path)).isdisjoint(first)
