"""Drawn places that somebody visits now and then, in the weather and the light that gates find hard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pipelines.values import U8
from scripts.bench.scenes.picture import FPS, Sensor, frames, from_bgr
from scripts.footage.place import Place, place
from scripts.footage.sprite import Sprite
from scripts.footage.vehicle import vehicle
from scripts.footage.walker import PHASES, STRIDE, look, walk_cycle

_TAIL_S = 3.0
_PACE_HZ = 1.25
_CAR_HEIGHT = 0.72


class Weather(Protocol):
    """What happens to every picture before it reaches the sensor."""

    def prepare(self, wh: tuple[int, int], visits_s: tuple[tuple[float, float], ...], seed: int) -> Apply: ...


class Apply(Protocol):
    def __call__(self, picture: U8, number: int) -> U8:
        """A new picture, or the very one that came; never writes to it. I420."""


@dataclass(frozen=True, slots=True, eq=False)
class _Visit:
    """One figure: it comes in from one side; a person turns back after a while, a vehicle drives through."""

    start_s: float
    end_s: float
    there: tuple[Sprite, ...]
    back: tuple[Sprite, ...]
    from_x: float
    speed_px_s: float
    turns: bool
    pace_hz: float
    feet_y: float

    def at(self, time_s: float) -> tuple[Sprite, int, int] | None:
        """(sprite, left, top), or None while it is not there."""
        if not self.start_s <= time_s < self.end_s:
            return None
        since, half = time_s - self.start_s, (self.end_s - self.start_s) / 2
        returning = self.turns and since > half
        way = 2 * half - since if returning else since
        cycle = self.back if returning else self.there
        sprite = cycle[int(since * self.pace_hz * PHASES) % len(cycle)]
        return sprite, round(self.from_x + self.speed_px_s * way), round(self.feet_y - sprite.bgra.shape[0] / 1.06)


@dataclass(frozen=True)
class Drawn:
    """A Source: one place, a visit every `quiet_s` seconds, the weathers one after the other."""

    name: str
    variant: int
    """Place: street, yard, hall, park, and again with other textures; and who comes when."""
    weathers: tuple[Weather, ...] = ()
    seconds: float = 200.0
    quiet_s: tuple[float, float] = (46.0, 60.0)
    visit_s: tuple[float, float] = (3.0, 7.0)
    size: float = 1.0
    """Of the figures, of what the place asks for."""
    pace: float = 1.0
    """Of walking, of the usual."""
    sigma: float = 2.0
    wh: tuple[int, int] = (1920, 1080)

    def active_s(self) -> tuple[tuple[float, float], ...]:
        return tuple((begin, end) for begin, end, _ in self._times())

    def _times(self) -> list[tuple[float, float, int]]:
        """(begin, end, seed of the visit). Who comes is drawn apart from when, so that times cost nothing to know."""
        rng = np.random.default_rng((self.variant, 17))
        at = 0.0
        out: list[tuple[float, float, int]] = []
        while True:
            begin = at + rng.uniform(*self.quiet_s)
            end = begin + rng.uniform(*self.visit_s)
            if end > self.seconds - _TAIL_S:
                return out
            out.append((begin, end, int(rng.integers(1 << 30))))
            at = end

    def pictures(self) -> Iterator[U8]:
        where = place(self.variant, self.wh, np.random.default_rng((self.variant, 3)))
        ground = np.rint(where.picture * 255).astype(np.uint8)
        empty = from_bgr(ground)
        sensor = Sensor(self.wh, self.sigma, self.variant)
        applied = [weather.prepare(self.wh, self.active_s(), self.variant) for weather in self.weathers]
        coming = [self._visit(where, *times) for times in self._times()]
        for number in range(frames(self.seconds)):
            placed = [found for visit in coming if (found := visit.at(number / FPS)) is not None]
            picture = empty
            if placed:
                bgr = ground.copy()
                for sprite, left, top in placed:
                    _draw(bgr, sprite, left, top)
                picture = from_bgr(bgr)
            for apply in applied:
                picture = apply(picture, number)
            yield sensor.expose(picture, number)

    def _visit(self, where: Place, begin: float, end: float, seed: int) -> _Visit:
        rng = np.random.default_rng(seed)
        if where.road_y is not None and rng.random() < 0.5:
            return self._drive(where, where.road_y, begin, end, rng)
        feet = float(rng.uniform(*where.feet_y))
        height = where.person_height(feet) * self.wh[1] * self.size
        cycle = walk_cycle(look(rng), height)
        speed = STRIDE * _PACE_HZ * height * self.pace
        return self._entering(cycle, begin, end, feet, speed, True, rng)

    def _drive(self, where: Place, road_y: float, begin: float, end: float, rng: np.random.Generator) -> _Visit:
        slope = (where.person[1] - where.person[0]) / (where.feet_y[1] - where.feet_y[0])
        person = where.person[1] + slope * (road_y - where.feet_y[1])
        one = vehicle(rng, _CAR_HEIGHT * person * self.wh[1] * self.size)
        speed = (self.wh[0] + one.bgra.shape[1]) / (end - begin)
        return self._entering((one,), begin, end, road_y, speed, False, rng)

    def _entering(
        self, cycle: tuple[Sprite, ...], begin: float, end: float, feet: float, speed: float, turns: bool,
        rng: np.random.Generator,
    ) -> _Visit:  # fmt: skip
        mirrored = tuple(sprite.mirrored() for sprite in cycle)
        width = cycle[0].bgra.shape[1]
        pace = _PACE_HZ * self.pace
        if rng.integers(2):
            return _Visit(begin, end, cycle, mirrored, -width, speed, turns, pace, feet * self.wh[1])
        return _Visit(begin, end, mirrored, cycle, self.wh[0], -speed, turns, pace, feet * self.wh[1])


def _draw(picture: U8, sprite: Sprite, left: int, top: int) -> None:
    """In place, BGR; parts outside are cut off."""
    h, w = sprite.bgra.shape[:2]
    x0, y0, x1, y1 = max(0, left), max(0, top), min(picture.shape[1], left + w), min(picture.shape[0], top + h)
    if x0 >= x1 or y0 >= y1:
        return
    figure = sprite.bgra[y0 - top : y1 - top, x0 - left : x1 - left]
    mixed = picture[y0:y1, x0:x1] * (1 - figure[..., 3:]) + 255 * figure[..., :3]
    picture[y0:y1, x0:x1] = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)
