"""A car or a van seen from the side, as a sprite that drives to the right. Drawn, no photograph."""

from __future__ import annotations

import numpy as np

from scripts.footage.sprite import Canvas, Color, Point, Sprite, shade

_PAINTS = (
    (0.62, 0.62, 0.62), (0.16, 0.14, 0.13), (0.14, 0.14, 0.55), (0.42, 0.26, 0.14), (0.85, 0.86, 0.86),
    (0.35, 0.36, 0.34),
)  # fmt: skip
_GLASS = (0.26, 0.22, 0.19)
_RUBBER = (0.07, 0.07, 0.07)
_RIM = (0.52, 0.52, 0.52)
_CAR_LENGTH, _VAN_LENGTH = 3.0, 2.35
"""Of the height."""


def vehicle(rng: np.random.Generator, height_px: float) -> Sprite:
    """One vehicle at random."""
    paint = _PAINTS[rng.integers(len(_PAINTS))]
    return _van(height_px, paint) if rng.random() < 0.3 else _car(height_px, paint)


def _car(height_px: float, paint: Color) -> Sprite:
    canvas = Canvas(height_px, _CAR_LENGTH + 0.2)
    hood, roof = 0.46, 0.03
    cabin: list[Point] = [
        (0.42, hood),
        (0.86, roof + 0.03),
        (1.05, roof),
        (1.72, roof),
        (1.90, roof + 0.04),
        (2.36, hood),
    ]
    body: list[Point] = [
        (0.10, 0.56), (0.16, 0.44), (0.42, hood - 0.03), (2.36, hood - 0.02), (2.86, 0.54), (3.02, 0.64), (3.05, 0.82),
        (0.12, 0.82), (0.08, 0.72),
    ]  # fmt: skip
    canvas.polygon(cabin, paint)
    canvas.polygon([(0.56, hood), (0.92, roof + 0.08), (1.30, roof + 0.07), (1.30, hood)], _GLASS)
    canvas.polygon([(1.38, hood), (1.38, roof + 0.07), (1.82, roof + 0.09), (2.20, hood)], _GLASS)
    canvas.polygon(body, paint)
    canvas.polygon([(0.12, 0.76), (3.04, 0.76), (3.02, 0.86), (0.16, 0.86)], shade(paint, 0.55))
    for x in (1.34, 2.22):
        canvas.polygon([(x, hood), (x + 0.015, hood), (x + 0.015, 0.76), (x, 0.76)], shade(paint, 0.6))
    _lights(canvas, rear_x=0.12, front_x=2.94, y=0.58)
    return _on_wheels(canvas, (0.68, 2.42), 0.185, _CAR_LENGTH)


def _van(height_px: float, paint: Color) -> Sprite:
    canvas = Canvas(height_px, _VAN_LENGTH + 0.2)
    body: list[Point] = [
        (0.10, 0.10), (0.18, 0.03), (1.58, 0.03), (1.74, 0.08), (2.06, 0.46), (2.36, 0.54), (2.42, 0.66), (2.42, 0.86),
        (0.10, 0.86),
    ]  # fmt: skip
    canvas.polygon(body, paint)
    canvas.polygon([(1.50, 0.46), (1.50, 0.14), (1.70, 0.14), (1.98, 0.46)], _GLASS)
    canvas.polygon([(0.10, 0.80), (2.42, 0.80), (2.40, 0.88), (0.12, 0.88)], shade(paint, 0.55))
    for x in (0.95, 1.44):
        canvas.polygon([(x, 0.08), (x + 0.012, 0.08), (x + 0.012, 0.80), (x, 0.80)], shade(paint, 0.65))
    _lights(canvas, rear_x=0.12, front_x=2.34, y=0.62)
    return _on_wheels(canvas, (0.52, 1.98), 0.15, _VAN_LENGTH)


def _lights(canvas: Canvas, rear_x: float, front_x: float, y: float) -> None:
    canvas.disc((rear_x + 0.03, y), 0.04, 0.06, (0.12, 0.10, 0.62))
    canvas.disc((front_x, y + 0.03), 0.07, 0.045, (0.85, 0.92, 0.95))


def _on_wheels(canvas: Canvas, at: tuple[float, float], radius: float, length: float) -> Sprite:
    for x in at:
        canvas.disc((x, 0.98 - radius), radius * 1.15, radius * 1.15, shade(_RUBBER, 0.6))
        canvas.disc((x, 0.98 - radius), radius, radius, _RUBBER)
        canvas.disc((x, 0.98 - radius), radius * 0.58, radius * 0.58, _RIM)
    return canvas.sprite(shadow=(length * 0.6, 0.06), shadow_x=length / 2 + 0.1)
