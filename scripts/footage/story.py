"""Who crosses the picture when: groups of people or a vehicle, with empty stretches between them. Pure but for drawing.

Everything enters from outside and leaves to the outside, so that an alert can begin and end.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from scripts.footage.place import Place
from scripts.footage.sprite import Sprite
from scripts.footage.vehicle import vehicle
from scripts.footage.walker import PHASES, STRIDE, look, walk_cycle

_LEAD_S = 2.0
_GAP_S = (4.0, 6.0)
_TAIL_S = 1.0
_PACE_HZ = 1.25
"""Gait cycles per second: brisk."""
_CAR_HEIGHT = 0.72
"""Of a person at the same distance."""
_CAR_LENGTHS_PER_S = 0.7


@dataclass(frozen=True, slots=True, eq=False)
class Actor:
    """One figure and its way: it moves along a line at constant speed."""

    kind: str
    """"person" or "vehicle"."""
    cycle: tuple[Sprite, ...]
    start_s: float
    end_s: float
    from_x: float
    """Left edge of its sprite at the start, px."""
    speed_px_s: float
    feet_y: float
    """px."""

    def at(self, time_s: float) -> tuple[Sprite, int, int] | None:
        """(sprite, left, top) in picture pixels, or None while it is not there."""
        if not self.start_s <= time_s < self.end_s:
            return None
        since = time_s - self.start_s
        sprite = self.cycle[int(since * _PACE_HZ * PHASES) % len(self.cycle)]
        top = self.feet_y - sprite.bgra.shape[0] / 1.06
        return sprite, round(self.from_x + self.speed_px_s * since), round(top)


def story(place: Place, wh: tuple[int, int], seconds: float, rng: np.random.Generator) -> tuple[Actor, ...]:
    """Actors of a clip, farthest first, so that nearer ones are drawn over them."""
    actors: list[Actor] = []
    at = _LEAD_S
    for turn in itertools.count():
        group = _group(place, wh, at, turn, rng)
        end = max(actor.end_s for actor in group)
        if end > seconds - _TAIL_S:
            break
        actors += group
        at = end + float(rng.uniform(*_GAP_S))
    return tuple(sorted(actors, key=lambda actor: actor.feet_y))


def _group(place: Place, wh: tuple[int, int], at: float, turn: int, rng: np.random.Generator) -> list[Actor]:
    """On a street every other turn is a vehicle's."""
    if place.road_y is not None and turn % 2 == 0:
        return [_driver(place, place.road_y, wh, at, rng)]
    return [_walker(place, wh, at + 1.2 * i, rng) for i in range(int(rng.integers(1, 3)))]


def _walker(place: Place, wh: tuple[int, int], at: float, rng: np.random.Generator) -> Actor:
    feet = float(rng.uniform(*place.feet_y))
    height_px = place.person_height(feet) * wh[1] * float(rng.uniform(0.93, 1.07))
    cycle = walk_cycle(look(rng), height_px)
    return _crossing("person", cycle, wh[0], at, feet * wh[1], STRIDE * _PACE_HZ * height_px, bool(rng.integers(2)))


def _driver(place: Place, road_y: float, wh: tuple[int, int], at: float, rng: np.random.Generator) -> Actor:
    # The road is nearer than the pavement: extrapolate the perspective.
    slope = (place.person[1] - place.person[0]) / (place.feet_y[1] - place.feet_y[0])
    person = place.person[1] + slope * (road_y - place.feet_y[1])
    one = vehicle(rng, _CAR_HEIGHT * person * wh[1])
    speed = _CAR_LENGTHS_PER_S * one.bgra.shape[1]
    return _crossing("vehicle", (one,), wh[0], at, road_y * wh[1], speed, bool(rng.integers(2)))


def _crossing(
    kind: str, cycle: tuple[Sprite, ...], width_px: int, at: float, feet_y: float, speed_px_s: float, rightwards: bool
) -> Actor:
    sprite_w = cycle[0].bgra.shape[1]
    end = at + (width_px + sprite_w) / speed_px_s
    if rightwards:
        return Actor(kind, cycle, at, end, -sprite_w, speed_px_s, feet_y)
    mirrored = tuple(sprite.mirrored() for sprite in cycle)
    return Actor(kind, mirrored, at, end, width_px, -speed_px_s, feet_y)
