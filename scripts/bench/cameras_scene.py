"""What the cameras of the capacity bench see: mostly nothing, now and then somebody.

People and vehicles at usual distances, recorded where the footage is there, else drawn. Tiny, far and slow ones, and
bad weather, are in the evaluation (docs/evaluation.md): here the question is what a machine carries.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from scripts.bench.scenes.catalog import CARS, INDOOR
from scripts.bench.scenes.drawn import Drawn
from scripts.bench.scenes.footage import Clip, Recorded
from scripts.bench.scenes.picture import Source

FOOTAGE = Path(os.environ.get("FRAMEGATE_FOOTAGE", Path(__file__).parents[3] / "shared" / "data"))
ACTIVITY = 0.11
"""Of the time somebody may be there; the reference sees them for less."""
_FADE_S = 1.0
_VISIT_S = (3.0, 5.0)
_TAIL_S = 3.0
"""After the last visit."""
_FIRST = 40
"""Places and visitors that the evaluation does not have."""
_CLIPS = ((INDOOR, 9.0), (INDOOR, 9.0), (CARS, 4.2), (INDOOR, 9.0))
"""With the most of each event that is shown, s."""


def timelines(count: int, seconds: float = 100.0, wh: tuple[int, int] = (1920, 1080)) -> list[Source]:
    """`count` different sources with somebody there for about a tenth of the time, as the sensor sees them."""
    return [_recorded(n, seconds, wh) or _drawn(n, seconds, wh) for n in range(count)]


def _visits(seconds: float, visit_s: float) -> int:
    """So many take their share of the timeline."""
    return max(1, round(ACTIVITY * seconds / visit_s))


def _quiet_s(seconds: float, visit_s: float) -> tuple[float, float]:
    """Between visits."""
    visits = _visits(seconds, visit_s)
    quiet_s = (seconds - _TAIL_S - visits * visit_s) / (visits + 0.5)
    return 0.85 * quiet_s, 1.15 * quiet_s


def _drawn(number: int, seconds: float, wh: tuple[int, int]) -> Source:
    quiet_s = _quiet_s(seconds, sum(_VISIT_S) / 2)
    return Drawn(f"capacity{number}", _FIRST + number, (), seconds, quiet_s, _VISIT_S, wh=wh)


def _recorded(number: int, seconds: float, wh: tuple[int, int]) -> Source | None:
    """The clip's events from another one on in each timeline. The last one leaves the place as the first finds it."""
    clip, event_s = _CLIPS[number % len(_CLIPS)]
    turn = number % len(clip.passages)
    passages = (clip.passages[turn:] + clip.passages[:turn])[: _visits(seconds, event_s + _FADE_S)]
    turned: Clip = replace(clip, passages=passages)
    source = Recorded(
        f"capacity{number}",
        turned,
        FOOTAGE,
        seconds,
        _quiet_s(seconds, event_s + _FADE_S),
        event_s,
        seed=_FIRST + number,
        wh=wh,
    )
    return source if source.there else None
