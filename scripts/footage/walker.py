"""A walking person as a cycle of sprites: jointed limbs, clothes, light from one side. Drawn, no photograph."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scripts.footage.sprite import Canvas, Color, Point, Sprite, shade

PHASES = 16
"""Sprites of one gait cycle (two steps)."""
STRIDE = 0.8
"""Way covered in one cycle, of the body's height."""
_WIDTH = 0.75
_CENTER_X = 0.375
_NEAR, _FAR = 1.0, -1.0

_SKINS = ((0.45, 0.58, 0.80), (0.32, 0.44, 0.62), (0.20, 0.28, 0.42), (0.52, 0.66, 0.86))
_HAIRS = ((0.08, 0.09, 0.12), (0.14, 0.22, 0.32), (0.35, 0.48, 0.58), (0.45, 0.45, 0.45))
_TOPS = (
    (0.30, 0.12, 0.10), (0.14, 0.14, 0.62), (0.46, 0.42, 0.36), (0.16, 0.16, 0.18), (0.25, 0.40, 0.20),
    (0.55, 0.35, 0.20), (0.20, 0.50, 0.75),
)  # fmt: skip
_TROUSERS = ((0.32, 0.20, 0.14), (0.12, 0.12, 0.13), (0.35, 0.42, 0.48), (0.22, 0.22, 0.24))
_BAGS = (None, None, (0.10, 0.12, 0.20), (0.12, 0.12, 0.45))
_SHOES = (0.10, 0.10, 0.12)


@dataclass(frozen=True, slots=True)
class Look:
    """What one person looks like. Colours are BGR 0..1."""

    skin: Color
    hair: Color
    top: Color
    trousers: Color
    bag: Color | None
    long_coat: bool
    turn: float
    """0 seen from the side, 1 from the front."""


def look(rng: np.random.Generator) -> Look:
    """Somebody, in the muted colours of a street."""
    return Look(
        skin=_SKINS[rng.integers(len(_SKINS))],
        hair=_HAIRS[rng.integers(len(_HAIRS))],
        top=_TOPS[rng.integers(len(_TOPS))],
        trousers=_TROUSERS[rng.integers(len(_TROUSERS))],
        bag=_BAGS[rng.integers(len(_BAGS))],
        long_coat=bool(rng.random() < 0.25),
        turn=float(rng.uniform(0.1, 0.7)),
    )


def walk_cycle(who: Look, height_px: float) -> tuple[Sprite, ...]:
    """PHASES sprites of one cycle, walking to the right."""
    return tuple(_figure(who, height_px, math.tau * i / PHASES) for i in range(PHASES))


def _figure(who: Look, height_px: float, phase: float) -> Sprite:
    canvas = Canvas(height_px, _WIDTH)
    bob = 0.012 * math.cos(2 * phase)
    hip, neck = (_CENTER_X, 0.50 + bob), (_CENTER_X + 0.012, 0.185 + bob)
    _leg(canvas, who, _beside(hip, _FAR * 0.04 * who.turn), phase + math.pi, dim=0.72)
    _arm(canvas, who, _shoulder(who, neck, _FAR), phase, dim=0.72)
    _torso(canvas, who, neck, hip)
    _leg(canvas, who, _beside(hip, _NEAR * 0.04 * who.turn), phase, dim=1.0)
    if who.long_coat:
        _coat(canvas, who, hip)
    _arm(canvas, who, _shoulder(who, neck, _NEAR), phase + math.pi, dim=1.0)
    _head(canvas, who, (_CENTER_X + 0.02 * (1 - who.turn), 0.075 + bob))
    return canvas.sprite(shadow=(0.20, 0.035), shadow_x=_CENTER_X)


def _beside(point: Point, dx: float) -> Point:
    return point[0] + dx, point[1]


def _half_width(who: Look) -> float:
    return 0.045 + 0.03 * who.turn


def _shoulder(who: Look, neck: Point, side: float) -> Point:
    return neck[0] + side * _half_width(who) * (0.3 + who.turn), neck[1] + 0.02


def _torso(canvas: Canvas, who: Look, neck: Point, hip: Point) -> None:
    (nx, ny), (hx, hy) = neck, hip
    canvas.limb((nx, ny - 0.05), (nx, ny + 0.02), 0.026, 0.03, shade(who.skin, 0.8))
    shoulder, waist = _half_width(who) + 0.035, _half_width(who) * 0.8 + 0.03
    right = [(nx + shoulder * 0.8, ny), (nx + shoulder, ny + 0.05), (hx + waist, hy - 0.1), (hx + waist, hy + 0.03)]
    left = [(hx - waist, hy + 0.03), (hx - waist, hy - 0.1), (nx - shoulder, ny + 0.05), (nx - shoulder * 0.8, ny)]
    canvas.polygon(right + left, who.top)
    if who.bag is not None:
        canvas.limb((nx - shoulder - 0.01, ny + 0.07), (hx - waist - 0.015, hy - 0.08), 0.04, 0.045, who.bag)


def _coat(canvas: Canvas, who: Look, hip: Point) -> None:
    (x, y), waist = hip, _half_width(who) * 0.8 + 0.035
    hem = 1.5 * waist
    points = [(x - waist, y - 0.05), (x + waist, y - 0.05), (x + hem, y + 0.2), (x - hem, y + 0.2)]
    canvas.polygon(points, shade(who.top, 0.92))


def _leg(canvas: Canvas, who: Look, hip: Point, swing: float, dim: float) -> None:
    thigh = 0.42 * (1 - 0.45 * who.turn) * math.sin(swing)
    bend = 0.10 + 0.75 * max(0.0, math.cos(swing)) * (1 - 0.3 * who.turn)
    knee = _end(hip, thigh, 0.23)
    ankle = _end(knee, thigh - bend, 0.22)
    toe = (ankle[0] + 0.055 * (1 - 0.4 * who.turn), ankle[1] + 0.022)
    canvas.limb(ankle, toe, 0.022, 0.017, shade(_SHOES, dim))
    canvas.limb(knee, ankle, 0.038, 0.026, shade(who.trousers, dim))
    canvas.limb(hip, knee, 0.056, 0.040, shade(who.trousers, dim))


def _arm(canvas: Canvas, who: Look, shoulder: Point, swing: float, dim: float) -> None:
    upper = 0.40 * math.sin(swing) * (1 - 0.4 * who.turn)
    elbow = _end(shoulder, upper, 0.155)
    hand = _end(elbow, upper + 0.35, 0.14)
    canvas.disc(hand, 0.022, 0.026, shade(who.skin, dim))
    canvas.limb(elbow, hand, 0.027, 0.020, shade(who.top, 0.9 * dim))
    canvas.limb(shoulder, elbow, 0.034, 0.028, shade(who.top, 0.95 * dim))


def _end(start: Point, angle: float, length: float) -> Point:
    """The far end of a bone; angle 0 hangs straight down, positive is forward (right)."""
    return start[0] + length * math.sin(angle), start[1] + length * math.cos(angle)


def _head(canvas: Canvas, who: Look, center: Point) -> None:
    x, y = center
    canvas.disc((x - 0.006, y - 0.008), 0.052, 0.064, who.hair)
    canvas.disc((x + 0.014, y + 0.012), 0.038, 0.050, who.skin)
    canvas.disc((x - 0.01, y - 0.035), 0.046, 0.032, who.hair)
