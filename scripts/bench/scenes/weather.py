"""Rain, leaves, lamps and cameras that shake: each a frozen description that prepares what it needs once."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pipelines.values import U8
from scripts.bench.scenes.drawn import Apply
from scripts.bench.scenes.picture import FPS, split

Visits = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Night:
    """Little light: the picture is dark and pale; the gain it takes shows in the source's `sigma`."""

    light: float = 0.35

    def prepare(self, wh: tuple[int, int], visits_s: Visits, seed: int) -> Apply:
        del wh, visits_s, seed
        levels = np.arange(256)
        luma = np.clip((levels - 16) * self.light + 20, 0, 255).astype(np.uint8)
        chroma = np.clip((levels - 128) * 0.5 + 128, 0, 255).astype(np.uint8)

        def apply(picture: U8, number: int) -> U8:
            del number
            h = picture.shape[0] * 2 // 3
            return np.concatenate([cv2.LUT(picture[:h], luma), cv2.LUT(picture[h:], chroma)])

        return apply


@dataclass(frozen=True, slots=True)
class Rain:
    """Streaks, other ones in each picture, in showers that come and go."""

    streaks: int = 500
    levels: int = 40

    def prepare(self, wh: tuple[int, int], visits_s: Visits, seed: int) -> Apply:
        del visits_s
        rng = np.random.default_rng((seed, 31))
        sheets = [self._sheet(wh, rng) for _ in range(8)]

        def apply(picture: U8, number: int) -> U8:
            shower = 0.5 + 0.5 * np.sin(number / FPS * 2 * np.pi / 47.0)
            draw = np.random.default_rng((seed, number))
            sheet = np.roll(sheets[draw.integers(len(sheets))], int(draw.integers(wh[0])), axis=1)
            out = picture.copy()
            y = split(out)[0]
            cv2.add(y, cv2.convertScaleAbs(sheet, alpha=0.3 + 0.7 * shower), dst=y)
            return out

        return apply

    def _sheet(self, wh: tuple[int, int], rng: np.random.Generator) -> U8:
        w, h = wh
        sheet = np.zeros((h, w), np.uint8)
        for _ in range(self.streaks):
            x, y, length = rng.integers(w), rng.integers(-40, h), rng.integers(h // 40, h // 12)
            tint = int(rng.integers(self.levels // 4, self.levels))
            cv2.line(sheet, (int(x), int(y)), (int(x - length // 6), int(y + length)), tint, 1, cv2.LINE_AA)
        return sheet


@dataclass(frozen=True, slots=True)
class Foliage:
    """A tree in the upper left that the wind moves, in gusts."""

    share: float = 0.36
    """Of the picture's width and height."""
    sway_px: float = 9.0

    def prepare(self, wh: tuple[int, int], visits_s: Visits, seed: int) -> Apply:
        del visits_s
        rng = np.random.default_rng((seed, 37))
        w, h = (int(side * self.share) // 4 * 4 for side in wh)
        leaves = cv2.GaussianBlur(rng.normal(0, 60, (h, w)).astype(np.float32), (0, 0), 3.0)
        crown = np.clip(70 + 3.0 * leaves, 25, 170).astype(np.uint8)
        x, y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))

        def apply(picture: U8, number: int) -> U8:
            time_s = number / FPS
            gust = self.sway_px * (0.55 + 0.45 * np.sin(time_s * 2 * np.pi / 29.0)) * wh[0] / 1920
            dx = gust * np.sin(2.4 * time_s + x / 70) + 0.4 * gust * np.sin(6.1 * time_s + y / 45)
            dy = 0.5 * gust * np.sin(3.3 * time_s + (x + y) / 90)
            to_x, to_y = (x + dx).astype(np.float32), (y + dy).astype(np.float32)
            out = picture.copy()
            luma, u, v = split(out)
            luma[:h, :w] = cv2.remap(crown, to_x, to_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            u[: h // 2, : w // 2], v[: h // 2, : w // 2] = 112, 116
            return out

        return apply


@dataclass(frozen=True, slots=True)
class Flicker:
    """Lamps on the mains: all of the picture breathes, and bands roll through it."""

    share: float = 0.03
    band_levels: float = 5.0

    def prepare(self, wh: tuple[int, int], visits_s: Visits, seed: int) -> Apply:
        del visits_s, seed
        h = wh[1]
        rows = self.band_levels * np.sin(np.arange(3 * h) * 2 * np.pi / h)
        bands = np.repeat(np.rint(rows).astype(np.int16)[:, None], wh[0], axis=1)

        def apply(picture: U8, number: int) -> U8:
            time_s = number / FPS
            gain = 1.0 + self.share * np.sin(2 * np.pi * 2.3 * time_s)
            shift = int((time_s * 0.37 % 1.0) * h)
            out = picture.copy()
            y = split(out)[0]
            y[:] = cv2.add(cv2.convertScaleAbs(y, alpha=gain), bands[shift : shift + h], dtype=cv2.CV_8U)
            return out

        return apply


@dataclass(frozen=True, slots=True)
class Exposure:
    """The camera's own gain steps now and then, and so it does as somebody comes in."""

    every_s: float = 23.0
    share: float = 0.22
    step_frames: int = 4

    def prepare(self, wh: tuple[int, int], visits_s: Visits, seed: int) -> Apply:
        del wh
        rng = np.random.default_rng((seed, 41))
        steps_s = sorted([*np.arange(self.every_s, 3600, self.every_s), *(begin + 1.0 for begin, _ in visits_s)])
        gains = [1.0, *(1.0 + self.share * rng.uniform(-1, 1) for _ in steps_s)]

        def apply(picture: U8, number: int) -> U8:
            last = int(np.searchsorted(steps_s, number / FPS, side="right"))
            gain = gains[last]
            if last:
                done = min(1.0, (number - steps_s[last - 1] * FPS + 1) / self.step_frames)
                gain = gains[last - 1] + (gain - gains[last - 1]) * done
            out = picture.copy()
            y = split(out)[0]
            y[:] = cv2.convertScaleAbs(y, alpha=gain, beta=16 * (1 - gain))
            return out

        return apply


@dataclass(frozen=True, slots=True)
class Headlights:
    """Beams of cars outside the picture sweep over it, with nobody in it."""

    every_s: float = 19.0
    levels: float = 110.0

    def prepare(self, wh: tuple[int, int], visits_s: Visits, seed: int) -> Apply:
        del visits_s
        rng = np.random.default_rng((seed, 43))
        w, h = wh
        radius = h // 3
        y, x = np.mgrid[-radius:radius, -radius * 2 : radius * 2].astype(np.float32)
        glow = self.levels * np.exp(-3.0 * ((x / (2 * radius)) ** 2 + (y / radius) ** 2) * 2)
        sweeps = [(at + rng.uniform(0, self.every_s / 2), rng.uniform(1.5, 3.0)) for at in np.arange(8, 3600, 19.0)]

        def apply(picture: U8, number: int) -> U8:
            time_s = number / FPS
            now = next(((begin, length) for begin, length in sweeps if begin <= time_s < begin + length), None)
            if now is None:
                return picture
            done = (time_s - now[0]) / now[1]
            left = round(-4 * radius + done * (w + 4 * radius))
            top = round(h * 0.55 - radius)
            x0, x1, y0, y1 = max(0, left), min(w, left + 4 * radius), max(0, top), min(h, top + 2 * radius)
            out = picture.copy()
            part = split(out)[0][y0:y1, x0:x1]
            if part.size:
                part[:] = np.clip(part + glow[y0 - top : y1 - top, x0 - left : x1 - left], 0, 235).astype(np.uint8)
            return out

        return apply


@dataclass(frozen=True, slots=True)
class Jitter:
    """A mast in the wind: the whole picture moves by fractions of a pixel, now and then by some."""

    sigma_px: float = 0.8
    """Where the picture is 1920 wide."""

    def prepare(self, wh: tuple[int, int], visits_s: Visits, seed: int) -> Apply:
        del visits_s
        rng = np.random.default_rng((seed, 47))
        pushes = rng.normal(0, self.sigma_px * wh[0] / 1920, (3600 * FPS, 2))
        for n in range(1, len(pushes)):
            pushes[n] = 0.8 * pushes[n - 1] + 0.6 * pushes[n]

        def apply(picture: U8, number: int) -> U8:
            out = np.empty_like(picture)
            for plane, target, share in zip(split(picture), split(out), (1.0, 0.5, 0.5), strict=True):
                dx, dy = pushes[number] * share
                move = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
                cv2.warpAffine(plane, move, plane.shape[::-1], dst=target, borderMode=cv2.BORDER_REPLICATE)
            return out

        return apply
