"""The form in which scenes hand over their pictures, and the noise that every sensor adds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.values import U8

FPS = 25
I16 = npt.NDArray[np.int16]
_SHIFT_PX = 64


class Source(Protocol):
    """What one simulated camera sees, before any encoder. Equal values make equal pictures; `repr` names them."""

    @property
    def name(self) -> str: ...
    @property
    def wh(self) -> tuple[int, int]: ...
    @property
    def seconds(self) -> float: ...

    def active_s(self) -> tuple[tuple[float, float], ...]:
        """When somebody may be in the picture, s from the start; in order, apart from each other."""

    def pictures(self) -> Iterator[U8]:
        """(h * 3 / 2, w) uint8 I420 each, FPS a second, BT.709 limited range, sensor noise included.

        A picture is the taker's own: none is written to after it was given.
        """


def frames(seconds: float) -> int:
    return round(seconds * FPS)


def split(picture: U8) -> tuple[U8, U8, U8]:
    """I420 as views of its planes: (h, w), (h/2, w/2), (h/2, w/2)."""
    h, w = picture.shape[0] * 2 // 3, picture.shape[1]
    flat = picture.reshape(-1)
    luma, quarter = h * w, h * w // 4
    u, v = flat[luma : luma + quarter], flat[luma + quarter :]
    return picture[:h], u.reshape(h // 2, w // 2), v.reshape(h // 2, w // 2)


def from_bgr(bgr: U8) -> U8:
    """(h, w, 3) to I420, BT.709 limited range. OpenCV's own conversion is BT.601."""
    h, w = bgr.shape[:2]
    yuv = cv2.transform(bgr, _BGR_TO_YUV)
    out: U8 = np.empty((h * 3 // 2, w), np.uint8)
    y, u, v = split(out)
    y[:] = yuv[..., 0]
    half = cv2.resize(yuv, (w // 2, h // 2), interpolation=cv2.INTER_AREA)
    u[:], v[:] = half[..., 1], half[..., 2]
    return out


def _matrix() -> npt.NDArray[np.float32]:
    """ITU-R BT.709-6, 8 bit: (3, 4), BGR and 1 to Y, U, V."""
    kr, kb = 0.2126, 0.0722
    y = np.array([kb, 1 - kr - kb, kr])
    u = (np.array([1.0, 0.0, 0.0]) - y) / (2 * (1 - kb))
    v = (np.array([0.0, 0.0, 1.0]) - y) / (2 * (1 - kr))
    rows = np.stack([y * 219, u * 224, v * 224]) / 255
    return np.concatenate([rows, [[16.0], [128.0], [128.0]]], axis=1).astype(np.float32)


_BGR_TO_YUV = _matrix()


class Sensor:
    """Adds noise: one field of it, laid down elsewhere for each picture. (Drawing it anew costs more than encoding.)"""

    def __init__(self, wh: tuple[int, int], sigma: float, seed: int) -> None:
        """sigma: of the luma, levels; chroma has half of it."""
        w, h = wh
        self._seed = seed
        self._shape = (h * 3 // 2, w)
        field = np.random.default_rng(seed).normal(0, sigma, (h * 3 // 2 + _SHIFT_PX, w + _SHIFT_PX))
        self._noise: I16 = np.rint(field).astype(np.int16)
        self._noise[h + _SHIFT_PX :] //= 2

    def expose(self, picture: U8, number: int) -> U8:
        """A new picture with the noise of frame `number`."""
        rng = np.random.default_rng((self._seed, number))
        x, y = rng.integers(0, _SHIFT_PX, 2)
        noise = self._noise[y : y + self._shape[0], x : x + self._shape[1]]
        if rng.integers(2):
            noise = noise[:, ::-1]
        noisy: U8 = cv2.add(picture, np.ascontiguousarray(noise), dtype=cv2.CV_8U)
        return noisy
