"""From a decoded frame to the network input: three planes resized straight into the loaned slot, the one copy."""

from __future__ import annotations

import cv2
import numpy as np

from pipelines.color import yuv_to_rgb
from pipelines.values import U8, ColorMatrix, ColorRange, Frame, Letterbox, ModelCard


def pad_yuv(card: ModelCard, color_range: ColorRange, matrix: ColorMatrix) -> tuple[int, int, int]:
    """The (Y, U, V) that the model will see as its card's `pad_rgb`, to the nearest level.

    Range and matrix are the frame's, resolved (pipelines/color.py).
    """
    m = yuv_to_rgb(color_range, matrix).astype(np.float64)
    yuv = np.linalg.solve(m[:, :3], np.asarray(card.pad_rgb, np.float64) - m[:, 3])
    y, u, v = (int(level) for level in np.clip(np.rint(yuv), 0, 255))
    return y, u, v


def write_planes(frame: Frame, fit: Letterbox, pad: tuple[int, int, int], out: U8) -> None:
    """Fill `out` with the letterboxed I420 picture. Every byte is written: a slot carries another camera's old picture.

    Args:
        frame: Planes of `fit`'s source size; rows may be strided.
        fit: Geometry; sizes and offsets even.
        pad: (Y, U, V) of the padding, see pad_yuv.
        out: (input_w * input_h * 3 / 2,) uint8, contiguous, writable.

    Costs 0.2 to 0.3 ms for 1080p to 416x256. Any thread; releases the GIL while it resizes.
    """
    w, h = fit.input_w, fit.input_h
    x, y, cw, ch = fit.content_x, fit.content_y, fit.content_w, fit.content_h
    luma, quarter = w * h, w * h // 4
    chroma_box = (x // 2, y // 2, cw // 2, ch // 2)
    _place(frame.y, out[:luma].reshape(h, w), (x, y, cw, ch), pad[0])
    _place(frame.u, out[luma : luma + quarter].reshape(h // 2, w // 2), chroma_box, pad[1])
    _place(frame.v, out[luma + quarter : luma + 2 * quarter].reshape(h // 2, w // 2), chroma_box, pad[2])


def _place(plane: U8, target: U8, box: tuple[int, int, int, int], pad: int) -> None:
    """Resize a plane into box (x, y, w, h) of the target and pad around it."""
    x, y, w, h = box
    target[:y] = pad
    target[y + h :] = pad
    target[y : y + h, :x] = pad
    target[y : y + h, x + w :] = pad
    # dst of the right size and type is written in place; OpenCV would silently make a new array for any other.
    cv2.resize(_averaged(plane, w, h), (w, h), dst=target[y : y + h, x : x + w], interpolation=cv2.INTER_LINEAR)


def _averaged(plane: U8, w: int, h: int) -> U8:
    """Halve with 2x2 means while the plane is at least twice the wanted size and even.

    A bilinear sample reads 2x2 source pixels however far apart the samples are: shrinking 1080p by 4.6 in one step
    aliases and keeps the sensor noise (YOLOX-nano at 416 on noisy 1080p loses 5 % of its boxes by it). 2x2 means are a
    low pass at memory speed; averaging over whole areas (INTER_AREA at 4.6) costs 20 times as much. Where the plane is
    four times as high, every second row is enough, and half of it is never read: as cheap as bilinear alone, for a
    shift of half a source row.
    """
    while plane.shape[0] >= 2 * h and plane.shape[1] >= 2 * w and plane.shape[0] % 2 == plane.shape[1] % 2 == 0:
        if plane.shape[0] >= 4 * h and plane.shape[0] % 4 == 0:
            plane = plane[::2]
        half = (plane.shape[1] // 2, plane.shape[0] // 2)
        plane = cv2.resize(plane, half, interpolation=cv2.INTER_AREA)
    return plane
