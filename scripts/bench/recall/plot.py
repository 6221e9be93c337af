"""The curves as a picture: decode saved over event recall, ours and the baselines, one panel per suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from pipelines.values import U8
from scripts.bench.recall.curve import Point

_W, _H, _MARGIN = 760, 560, 70
_COLORS = {
    "envelope": (180, 60, 20),
    "complexity": (220, 150, 60),
    "size": (220, 200, 120),
    "learned": (60, 140, 230),
    "every_nth": (90, 90, 90),
    "key_frames": (60, 160, 60),
    "fixed_size": (40, 40, 220),
    "motion": (160, 40, 160),
}
"""BGR."""
_OTHER = (0, 120, 200)
_GRID, _INK = (225, 225, 225), (40, 40, 40)


def draw(path: Path, panels: Mapping[str, Mapping[str, Sequence[Point]]]) -> None:
    """Write a PNG. panels: title to gate to its points."""
    cv2.imwrite(str(path), np.hstack([_panel(title, curves) for title, curves in panels.items()]))


def _panel(title: str, curves: Mapping[str, Sequence[Point]]) -> U8:
    picture: U8 = np.full((_H, _W, 3), 255, np.uint8)
    for step in range(11):
        share = step / 10
        cv2.line(picture, _at(share, 0), _at(share, 1), _GRID, 1)
        cv2.line(picture, _at(0, share), _at(1, share), _GRID, 1)
        if step % 2 == 0:
            _write(picture, f"{share:.0%}", (_at(share, 0)[0] - 14, _H - _MARGIN + 22))
            _write(picture, f"{share:.0%}", (_MARGIN - 48, _at(0, share)[1] + 5))
    _write(picture, f"{title}: decode saved (up) over event recall (right)", (_MARGIN, 30), 0.55)
    for row, (name, points) in enumerate(curves.items()):
        color = _COLORS.get(name, _OTHER)
        places = [_at(p.recall, max(0.0, p.saved)) for p in points if p.recall is not None]
        for a, b in pairwise(places):
            cv2.line(picture, a, b, color, 2, cv2.LINE_AA)
        for place in places:
            cv2.circle(picture, place, 4, color, -1, cv2.LINE_AA)
        cv2.circle(picture, (_MARGIN + 14, _MARGIN + 16 + 20 * row), 5, color, -1, cv2.LINE_AA)
        _write(picture, name, (_MARGIN + 26, _MARGIN + 21 + 20 * row))
    return picture


def _at(recall: float, saved: float) -> tuple[int, int]:
    width, height = _W - 2 * _MARGIN, _H - 2 * _MARGIN
    return round(_MARGIN + recall * width), round(_H - _MARGIN - saved * height)


def _write(picture: U8, text: str, at: tuple[int, int], size: float = 0.45) -> None:
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, _INK, 1, cv2.LINE_AA)
