"""Drawing small figures: rounded, lit shapes on a fine canvas, then shrunk to an anti-aliased sprite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Color = tuple[float, float, float]
"""BGR, 0..1."""
Point = tuple[float, float]
F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]

_CANVAS_PX = 400
"""Figures are drawn at least this many pixels tall, whatever their final size."""


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A figure at its final size, standing on its last line.

    bgra: (h, w, 4) float32, BGR premultiplied with alpha, and alpha, all 0..1.
    box: xyxy of what is more opaque than not, in sprite pixels. The soft shadow is not part of it.
    """

    bgra: F32
    box: tuple[float, float, float, float]

    def mirrored(self) -> Sprite:
        """The figure facing the other way."""
        w = self.bgra.shape[1]
        x0, y0, x1, y1 = self.box
        return Sprite(np.ascontiguousarray(self.bgra[:, ::-1]), (w - x1, y0, w - x0, y1))


def shade(color: Color, factor: float) -> Color:
    """The colour in more or less light."""
    return color[0] * factor, color[1] * factor, color[2] * factor


class Canvas:
    """Shapes in units of the figure's height, x to the right, y down. Later shapes hide earlier ones."""

    def __init__(self, unit_px: float, width: float) -> None:
        """width: of the canvas, in units; its height is 1.06, room for the shadow below the feet."""
        self._final = (max(4, round(unit_px * width)), max(4, round(unit_px * 1.06)))
        over = max(2, math.ceil(_CANVAS_PX / unit_px))
        self._unit = unit_px * over
        shape = (self._final[1] * over, self._final[0] * over)
        self._color = np.zeros((*shape, 3), np.float32)
        self._alpha = np.zeros(shape, np.uint8)

    def polygon(self, points: Sequence[Point], color: Color) -> None:
        mask = np.zeros_like(self._alpha)
        cv2.fillPoly(mask, [self._px(points)], 255, cv2.LINE_AA)
        self._paint(mask, color)

    def disc(self, center: Point, rx: float, ry: float, color: Color) -> None:
        mask = np.zeros_like(self._alpha)
        (x, y), axes = self._px([center])[0], (round(rx * self._unit), round(ry * self._unit))
        cv2.ellipse(mask, (int(x), int(y)), axes, 0, 0, 360, 255, -1, cv2.LINE_AA)
        self._paint(mask, color)

    def limb(self, start: Point, end: Point, r0: float, r1: float, color: Color) -> None:
        """A capsule that tapers from radius r0 to r1."""
        along = math.atan2(end[1] - start[1], end[0] - start[0])
        nx, ny = -math.sin(along), math.cos(along)
        corners = [(p[0] + s * r * nx, p[1] + s * r * ny) for p, r, s in ((start, r0, 1), (end, r1, 1))]
        corners += [(p[0] - r * nx, p[1] - r * ny) for p, r in ((end, r1), (start, r0))]
        mask = np.zeros_like(self._alpha)
        cv2.fillPoly(mask, [self._px(corners)], 255, cv2.LINE_AA)
        for (x, y), radius in zip(self._px([start, end]), (r0, r1), strict=True):
            cv2.circle(mask, (int(x), int(y)), round(radius * self._unit), 255, -1, cv2.LINE_AA)
        self._paint(mask, color)

    def sprite(self, shadow: Point, shadow_x: float) -> Sprite:
        """Shrink to the final size. shadow: half width and half height of the soft shadow at the feet, units."""
        alpha = (self._alpha.astype(np.float32) / 255)[..., None]
        big = np.concatenate([self._color * alpha, alpha], -1)
        small = cv2.GaussianBlur(cv2.resize(big, self._final, interpolation=cv2.INTER_AREA), (0, 0), 0.6)
        ys, xs = np.where(small[..., 3] > 0.5)
        box = (float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1))
        return Sprite(_with_shadow(np.asarray(small, np.float32), shadow, shadow_x), box)

    def _px(self, points: Sequence[Point]) -> npt.NDArray[np.int32]:
        return np.rint(np.array(points) * self._unit).astype(np.int32)

    def _paint(self, mask: U8, color: Color) -> None:
        """Light falls from the upper left; towards its rim a part turns away from it."""
        x, y, w, h = cv2.boundingRect(mask)
        if not w or not h:
            return
        area = np.s_[y : y + h, x : x + w]
        part = mask[area]
        depth = cv2.distanceTransform(np.pad(part, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
        round_off = np.sqrt(np.minimum(1.0, depth / max(1.0, 0.7 * float(depth.max()))))
        light = np.linspace(1.08, 0.80, w, dtype=np.float32)[None] * (0.72 + 0.28 * round_off)
        weight = (part.astype(np.float32) / 255)[..., None]
        self._color[area] += weight * (light[..., None] * np.array(color, np.float32) - self._color[area])
        np.maximum(self._alpha[area], part, out=self._alpha[area])


def _with_shadow(bgra: F32, half: Point, center_x: float) -> F32:
    """Dark, soft and under the figure: black with some alpha where the figure is not."""
    h, w = bgra.shape[:2]
    unit = h / 1.06
    dx = (np.arange(w, dtype=np.float32) - center_x * unit) / (half[0] * unit)
    dy = (np.arange(h, dtype=np.float32) - 0.985 * unit) / (half[1] * unit)
    shadow = 0.45 * np.exp(-1.5 * (dx[None] ** 2 + dy[:, None] ** 2))
    out = bgra.copy()
    out[..., 3] += (1 - bgra[..., 3]) * shadow
    return out
