"""Cut-outs of persons and vehicles: cutting them out of frames, and pasting them into others.

A cut-out is RGBA, (h, w, 4); class 0 person, 1 vehicle.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from augment import Rng
from box import iou

LONGEST_PX = 160
MARGIN = 0.12


@dataclass(frozen=True, slots=True)
class Sprite:
    """One cut-out."""

    kind: int
    clip: str
    rgba: np.ndarray
    """(h, w, 4) uint8."""


def cut_out(name: str, frames: np.ndarray, boxes: list[np.ndarray], fixed: bool, limit: int = 90) -> list[Sprite]:
    """Cut confident, isolated, unclipped boxes of (t, h, w, 3) frames out, with GrabCut; at most `limit`."""
    cv2.setRNGSeed(0)  # GrabCut draws from OpenCV's generator: without it the result hangs on what ran before
    background = np.median(frames[:: max(1, len(frames) // 25)], 0).astype(np.float32) if fixed else None
    candidates = [(t, box) for t, found in enumerate(boxes) for box in _alone(found, frames.shape[1:3])]
    order = np.random.default_rng(0).permutation(len(candidates))[: limit * 2]
    out: list[Sprite] = []
    for t, box in (candidates[i] for i in order):
        rgba = _cut(frames[t], box, background)
        if rgba is not None:
            out.append(Sprite(int(box[5]), name, rgba))
        if len(out) >= limit:
            break
    return out


def _alone(boxes: np.ndarray, hw: tuple[int, int]) -> list[np.ndarray]:
    """The boxes of one frame that are sure, large enough, whole, and touch no other."""
    height, width = hw
    out = []
    for i, box in enumerate(boxes):
        w, h = box[2] - box[0], box[3] - box[1]
        if box[4] < 0.6 or h < 26 or w < 10 or h > 0.98 * height:
            continue
        if box[0] < 2 or box[1] < 2 or box[2] > width - 2 or box[3] > height - 2:
            continue
        others = np.delete(boxes, i, 0)
        others = others[others[:, 4] > 0.3]
        if not len(others) or iou(box[None], others).max() <= 0.12:
            out.append(box)
    return out


def _cut(frame: np.ndarray, box: np.ndarray, background: np.ndarray | None) -> np.ndarray | None:
    """One cut-out, or None where the result does not look like one object."""
    height, width = frame.shape[:2]
    w, h = box[2] - box[0], box[3] - box[1]
    x1, y1 = int(max(0, box[0] - MARGIN * w)), int(max(0, box[1] - MARGIN * h))
    x2, y2 = int(min(width, box[2] + MARGIN * w)), int(min(height, box[3] + MARGIN * h))
    piece = np.ascontiguousarray(frame[y1:y2, x1:x2])
    scale = min(1.0, LONGEST_PX / max(piece.shape[:2]))
    small = cv2.resize(piece, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    inner = (np.array([box[0] - x1, box[1] - y1, box[2] - x1, box[3] - y1]) * scale).astype(int)
    mask = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
    mask[max(0, inner[1]) : inner[3] + 1, max(0, inner[0]) : inner[2] + 1] = cv2.GC_PR_FGD
    if background is not None:
        change = np.abs(piece.astype(np.float32) - background[y1:y2, x1:x2]).max(-1)
        change = cv2.resize(change, (small.shape[1], small.shape[0]))
        mask[(change < 10) & (mask == cv2.GC_PR_FGD)] = cv2.GC_PR_BGD
        mask[(change > 60) & (mask == cv2.GC_PR_FGD)] = cv2.GC_FGD
    inside = _grab(small, mask)
    if inside is None or not _plausible(inside, inner, person=box[5] == 0):
        return None
    ys, xs = np.where(inside)
    rgba = np.dstack([small, cv2.GaussianBlur(inside * 255, (3, 3), 0)])
    return rgba[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]


def _grab(picture: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
    """GrabCut from a mask of likelihoods -> the largest connected foreground, 0 or 1; None where there is none."""
    if not _foreground(mask).any() or _foreground(mask).all():
        return None
    try:
        cv2.grabCut(picture, mask, None, np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    except cv2.error:
        return None
    parts, labels, stats, _ = cv2.connectedComponentsWithStats(_foreground(mask).astype(np.uint8))
    return (labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8) if parts > 1 else None


def _foreground(mask: np.ndarray) -> np.ndarray:
    return (mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)


def _plausible(inside: np.ndarray, box: np.ndarray, person: bool) -> bool:
    """It fills its box as a person or a vehicle does; a solid rectangle is neither."""
    w, h = box[2] - box[0], box[3] - box[1]
    fill = inside.sum() / max(1, w * h)
    ys, xs = np.where(inside)
    low, high = (0.3, 0.8) if person else (0.45, 0.97)
    return low < fill < high and (ys.max() - ys.min() + 1) / h >= 0.8 and (xs.max() - xs.min() + 1) / w >= 0.6


def pose(rng: Rng, sprite: Sprite, wh: tuple[int, int], least: float, most: float) -> tuple[np.ndarray, int, int]:
    """Random size (height: a share `least`..`most` of the picture's), mirror, tone and place.

    Returns RGBA float32 (h, w, 4), and where its left upper corner goes: x, y.
    """
    width, height = wh
    sprite_h, sprite_w = sprite.rgba.shape[:2]
    h = np.exp(rng.uniform(np.log(least), np.log(most))) * height
    if sprite.kind == 1:
        h = min(h * 0.8, 0.9 * width * sprite_h / sprite_w)
    w, h = max(2, round(h * sprite_w / sprite_h * rng.uniform(0.85, 1.15))), max(3, round(h))
    how = cv2.INTER_AREA if h < sprite_h else cv2.INTER_LINEAR
    rgba = cv2.resize(sprite.rgba, (int(w), int(h)), interpolation=how).astype(np.float32)
    if rng.random() < 0.5:
        rgba = rgba[:, ::-1]
    rgba[..., :3] = np.clip(rgba[..., :3] * rng.uniform(0.5, 1.5) + rng.uniform(-25, 25), 0, 255)
    if rng.random() < 0.15:
        rgba[..., :3] = 255 - rgba[..., :3]
    return rgba, int(rng.uniform(-0.3 * w, width - 0.7 * w)), int(rng.uniform(-0.1 * h, height - 0.6 * h))


def paste(picture: np.ndarray, rgba: np.ndarray, x: int, y: int) -> tuple[np.ndarray, float, float]:
    """Blend RGBA float32 into a luma or RGB picture, in place -> visible box xyxy, visible share, mean change."""
    height, width = picture.shape[:2]
    h, w = rgba.shape[:2]
    x1, y1, x2, y2 = max(0, x), max(0, y), min(width, x + w), min(height, y + h)
    if x2 - x1 < 1 or y2 - y1 < 1:
        return np.zeros(4, np.float32), 0.0, 0.0
    part = rgba[y1 - y : y2 - y, x1 - x : x2 - x]
    alpha, over = part[..., 3] / 255.0, part[..., :3]
    if picture.ndim == 2:
        over = over @ np.array([0.299, 0.587, 0.114], np.float32)
    else:
        alpha = alpha[..., None]
    old = picture[y1:y2, x1:x2].astype(np.float32)
    new = old + (over - old) * alpha
    picture[y1:y2, x1:x2] = new.astype(np.uint8)
    channels = 3 if picture.ndim == 3 else 1
    change = float(np.abs(new - old).sum() / (alpha.sum() * channels + 1e-3))
    return np.array([x1, y1, x2, y2], np.float32), float((x2 - x1) * (y2 - y1)) / (h * w), change
