"""Which scenes the evaluation has: those that judge, and those that anything may be chosen on or trained on.

They share no clip, no drawn place, no visitor and no timing. Drawn ones of both sets come from the same code, so the
kinds of weather are known to whoever trained; their places, figures, moments and, where it has numbers, strengths
are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scripts.bench.scenes.camera import Camera
from scripts.bench.scenes.catalog import (
    ABR,
    B_FRAMES,
    CARS,
    CBR,
    CHIP_ABR,
    CHIP_CBR,
    H264,
    H265,
    H265_CBR,
    INDOOR,
    LAWN,
    LONG,
    PATH,
    Shot,
)
from scripts.bench.scenes.drawn import Drawn
from scripts.bench.scenes.encoding import Recipe
from scripts.bench.scenes.footage import Clip, Recorded
from scripts.bench.scenes.picture import Source
from scripts.bench.scenes.weather import Exposure, Flicker, Foliage, Headlights, Jitter, Night, Rain

SECONDS = 170.0
"""Of a timeline: long enough for three events and the quiet between them."""
_VISIT_S = (2.0, 5.0)
_QUIET_S = (42.0, 60.0)
_BUSY_S = (8.0, 14.0)
_LEARN_QUIET_S, _LEARN_SECONDS = (20.0, 28.0), 110.0
"""Development wants many events in few pictures."""
_THICK = Recipe(level=22)


def held_out(folder: Path, seconds: float = SECONDS) -> list[Shot]:
    """Scenes that judge. folder: where the development footage is, if it is."""
    recorded = [
        (_clip("lawn", LAWN, folder, seconds, 3), (H264, CBR)),
        (_clip("path", PATH, folder, seconds, 4), (ABR, H265)),
    ]
    drawn = [
        (_drawn("street", 4, seconds), (CHIP_CBR, B_FRAMES)),
        (_drawn("yard", 5, seconds), (CHIP_ABR, LONG)),
        (_drawn("hall", 2, seconds), (CBR, H265_CBR)),
        (_drawn("park", 3, seconds), (H264, CHIP_CBR)),
        (Drawn("busy", 18, (), min(seconds, 100.0), _BUSY_S, _VISIT_S), (H264, CHIP_CBR)),
        (Drawn("night", 8, (Night(),), seconds, _QUIET_S, _VISIT_S, sigma=6.0), (CBR,)),
        (Drawn("rain", 9, (Rain(),), seconds, _QUIET_S, _VISIT_S), (H264,)),
        (Drawn("foliage", 7, (Foliage(),), seconds, _QUIET_S, _VISIT_S), (ABR,)),
        (Drawn("flicker", 6, (Flicker(),), seconds, _QUIET_S, _VISIT_S), (H264,)),
        (Drawn("exposure", 13, (Exposure(),), seconds, _QUIET_S, _VISIT_S), (H264,)),
        (Drawn("headlights", 12, (Night(0.5), Headlights()), seconds, _QUIET_S, _VISIT_S, sigma=4.0), (CHIP_CBR,)),
        (Drawn("far", 15, (), seconds, _QUIET_S, _VISIT_S, size=0.4), (H264,)),
        (Drawn("slow", 10, (), seconds, _QUIET_S, (4.0, 6.0), pace=0.25), (CHIP_CBR,)),
        (Drawn("jitter", 17, (Jitter(),), seconds, _QUIET_S, _VISIT_S), (H265_CBR,)),
    ]
    raw = [(_drawn("raw", 14, seconds), (H264, CHIP_CBR))]
    return [*_there(recorded, held=True), *_cameras(drawn, held=True), *(Shot(*one, held_out=True) for one in raw)]


def development(folder: Path) -> list[Shot]:
    """Scenes on which constants were chosen and the learned predictor was trained."""
    seconds, quiet = _LEARN_SECONDS, _LEARN_QUIET_S
    recorded = [
        (Recorded("indoor", INDOOR, folder, 150.0, quiet, seed=1), (H264, CBR)),
        (Recorded("cars", CARS, folder, 120.0, quiet, seed=2), (H264, H265)),
    ]
    drawn = [
        (Drawn("t-street", 24, (), seconds, quiet, _VISIT_S), (H264, CBR, CHIP_CBR)),
        (Drawn("t-yard", 25, (), seconds, quiet, _VISIT_S), (B_FRAMES, H265)),
        (Drawn("t-hall", 22, (), seconds, quiet, _VISIT_S, sigma=3.0), (ABR, CBR, H265_CBR)),
        (Drawn("t-park", 23, (), seconds, quiet, _VISIT_S, sigma=1.0), (LONG,)),
        (Drawn("t-night", 20, (Night(0.4),), seconds, quiet, _VISIT_S, sigma=5.0), (CBR, CHIP_CBR)),
        (Drawn("t-rain", 29, (Rain(350, 50),), seconds, quiet, _VISIT_S), (H264,)),
        (Drawn("t-foliage", 27, (Foliage(0.3, 7.0),), seconds, quiet, _VISIT_S), (ABR,)),
        (Drawn("t-flicker", 26, (Flicker(0.04, 4.0),), seconds, quiet, _VISIT_S), (H264,)),
        (Drawn("t-exposure", 33, (Exposure(17.0, 0.3),), seconds, quiet, _VISIT_S), (CBR,)),
        (Drawn("t-headlights", 28, (Night(0.6), Headlights(15.0)), seconds, quiet, _VISIT_S, sigma=3.5), (H264,)),
        (Drawn("t-far", 35, (), seconds, quiet, _VISIT_S, size=0.45), (CBR,)),
        (Drawn("t-slow", 30, (), seconds, quiet, (4.0, 6.0), pace=0.3), (_THICK,)),
        (Drawn("t-jitter", 37, (Jitter(0.6),), seconds, quiet, _VISIT_S), (ABR, CHIP_ABR)),
    ]
    raw = [(Drawn("t-raw", 34, (), seconds, quiet, _VISIT_S), (H264, CHIP_CBR))]
    return [*_there(recorded, held=False), *_cameras(drawn, held=False), *(Shot(*one, held_out=False) for one in raw)]


def _drawn(name: str, variant: int, seconds: float) -> Drawn:
    return Drawn(name, variant, (), seconds, _QUIET_S, _VISIT_S)


def _clip(name: str, clip: Clip, folder: Path, seconds: float, seed: int) -> Recorded:
    return Recorded(name, clip, folder, seconds, _QUIET_S, event_s=4.0, seed=seed)


def _there(recorded: Sequence[tuple[Recorded, tuple[Recipe, ...]]], held: bool) -> list[Shot]:
    """Those whose clip this machine has."""
    return _cameras([(source, recipes) for source, recipes in recorded if source.there], held)


def _cameras(sources: Sequence[tuple[Source, tuple[Recipe, ...]]], held: bool) -> list[Shot]:
    """With noise reduction."""
    return [Shot(Camera(source), recipes, held) for source, recipes in sources]
