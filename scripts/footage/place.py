"""Empty places seen by a fixed camera: a yard, a street, a hall, a park. Drawn from noise and straight lines.

A place says where figures may stand and how tall a person is there, so that size and position agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from scripts.footage.sprite import Color

Picture = npt.NDArray[np.float32]
"""(h, w, 3) float32, BGR 0..1."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """One camera's view. Lengths are shares of the picture's height."""

    name: str
    picture: Picture
    feet_y: tuple[float, float]
    """Where people's feet may be: far, near."""
    person: tuple[float, float]
    """A person's height there: far, near."""
    road_y: float | None
    """Where wheels are; None: no vehicles here."""

    def person_height(self, feet_y: float) -> float:
        return float(np.interp(feet_y, self.feet_y, self.person))


def place(variant: int, wh: tuple[int, int], rng: np.random.Generator) -> Place:
    """Variants repeat after four, with other textures."""
    makers: tuple[Callable[[tuple[int, int], np.random.Generator], Place], ...] = (_street, _yard, _hall, _park)
    return makers[variant % len(makers)](wh, rng)


def _street(wh: tuple[int, int], rng: np.random.Generator) -> Place:
    picture = _bands(
        wh,
        (
            (0.00, (0.52, 0.56, 0.60)),
            (0.36, (0.56, 0.58, 0.60)),
            (0.56, (0.34, 0.33, 0.33)),
            (0.93, (0.54, 0.55, 0.57)),
        ),
    )
    _boards(picture, 0.04, 0.24, ((0.06, 0.24), (0.42, 0.60), (0.78, 0.96)), (0.40, 0.43, 0.46))
    _line(picture, 0.36, 0.012, (0.38, 0.39, 0.41))
    _line(picture, 0.56, 0.010, (0.66, 0.67, 0.68))
    _line(picture, 0.93, 0.012, (0.68, 0.69, 0.70))
    return Place("street", _weather(picture, rng), (0.47, 0.54), (0.19, 0.20), 0.75)


def _yard(wh: tuple[int, int], rng: np.random.Generator) -> Place:
    picture = _bands(wh, ((0.00, (0.42, 0.47, 0.52)), (0.30, (0.52, 0.54, 0.55))))
    _boards(picture, 0.06, 0.30, ((0.10, 0.34), (0.62, 0.86)), (0.33, 0.36, 0.36))
    _line(picture, 0.30, 0.02, (0.34, 0.36, 0.38))
    _joints(picture, 0.32, (0.47, 0.49, 0.50))
    return Place("yard", _weather(picture, rng), (0.62, 0.95), (0.27, 0.44), None)


def _hall(wh: tuple[int, int], rng: np.random.Generator) -> Place:
    picture = _bands(wh, ((0.00, (0.70, 0.73, 0.74)), (0.52, (0.40, 0.46, 0.52))))
    _boards(picture, 0.10, 0.36, ((0.08, 0.36), (0.60, 0.90)), (0.58, 0.56, 0.50))
    _line(picture, 0.515, 0.018, (0.55, 0.57, 0.58))
    fade = np.linspace(1.08, 0.86, picture.shape[1], dtype=np.float32)
    return Place("hall", _weather(picture * fade[None, :, None], rng), (0.72, 0.94), (0.34, 0.42), None)


def _park(wh: tuple[int, int], rng: np.random.Generator) -> Place:
    picture = _bands(
        wh,
        (
            (0.00, (0.30, 0.38, 0.34)),
            (0.32, (0.28, 0.46, 0.38)),
            (0.62, (0.50, 0.56, 0.60)),
            (0.80, (0.27, 0.45, 0.37)),
        ),
    )
    _bushes(picture, 0.30, rng)
    return Place("park", _weather(picture, rng, rough=0.09), (0.66, 0.78), (0.28, 0.34), None)


def _bands(wh: tuple[int, int], bands: tuple[tuple[float, Color], ...]) -> Picture:
    """Horizontal stripes, each from its upper edge down."""
    w, h = wh
    picture = np.zeros((h, w, 3), np.float32)
    for top, color in bands:
        picture[round(top * h) :] = color
    return picture


def _line(picture: Picture, y: float, thickness: float, color: Color) -> None:
    h = picture.shape[0]
    picture[round(y * h) : round((y + thickness) * h)] = color


def _boards(picture: Picture, top: float, bottom: float, spans: tuple[tuple[float, float], ...], color: Color) -> None:
    """Wide flat panels on a wall: shutters, notice boards."""
    h, w = picture.shape[:2]
    for left, right in spans:
        picture[round(top * h) : round(bottom * h), round(left * w) : round(right * w)] = color


def _bushes(picture: Picture, base_y: float, rng: np.random.Generator) -> None:
    """A hedge of overlapping rounds along the back of a lawn."""
    h, w = picture.shape[:2]
    for x in np.linspace(0, w, 22):
        shade = float(rng.uniform(0.75, 1.1))
        middle = (round(x + rng.uniform(-10, 10)), round((base_y - rng.uniform(0.0, 0.05)) * h))
        axes = (round(h * rng.uniform(0.06, 0.10)), round(h * rng.uniform(0.05, 0.09)))
        cv2.ellipse(picture, middle, axes, 0, 0, 360, (0.17 * shade, 0.33 * shade, 0.25 * shade), -1, cv2.LINE_AA)


def _joints(picture: Picture, top: float, color: Color) -> None:
    """Paving slabs in perspective."""
    h, w = picture.shape[:2]
    for depth in np.linspace(0, 1, 9)[1:] ** 1.8:
        y = round((top + (1 - top) * depth) * h)
        cv2.line(picture, (0, y), (w, y), color, 1, cv2.LINE_AA)
    for x in np.linspace(-2, 3, 26):
        far = round((0.5 + (x - 0.5) * 0.45) * w)
        cv2.line(picture, (far, round(top * h)), (round(x * w), h), color, 1, cv2.LINE_AA)


def _weather(picture: Picture, rng: np.random.Generator, rough: float = 0.05) -> Picture:
    """Stains, grain and a slightly soft lens over the flat colours."""
    h, w = picture.shape[:2]
    stain = np.zeros((h, w), np.float32)
    for cells in (5, 24, 140):
        coarse = rng.uniform(-1, 1, (cells * h // w + 2, cells)).astype(np.float32)
        stain += rough * cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC)
    soft = cv2.GaussianBlur(picture * (1 + stain[..., None]), (0, 0), 0.8)
    return np.asarray(np.clip(soft, 0, 1), np.float32)
