"""What the cameras of the capacity bench see: mostly nothing, now and then somebody. The scenes are those of the
evaluation (scripts/bench/scenes), chosen here: drawn places and, where the footage is there, recorded ones.
"""

from __future__ import annotations

import os
from pathlib import Path

from scripts.bench.scenes.catalog import INDOOR, LAWN
from scripts.bench.scenes.drawn import Drawn
from scripts.bench.scenes.footage import Recorded
from scripts.bench.scenes.picture import Source

FOOTAGE = Path(os.environ.get("FRAMEGATE_FOOTAGE", Path(__file__).parents[3] / "shared" / "data"))
ACTIVITY = 0.1
_VISIT_S = (3.0, 7.0)
_TAIL_S = 3.0
"""After the last visit."""
_FIRST = 40
"""Places and visitors that the evaluation does not have."""


def timelines(count: int, seconds: float = 100.0, wh: tuple[int, int] = (1920, 1080)) -> list[Source]:
    """`count` different sources with somebody there for about a tenth of the time; each fourth recorded."""
    visit_s = sum(_VISIT_S) / 2
    visits = max(1, round(ACTIVITY * seconds / visit_s))
    quiet_s = (seconds - _TAIL_S - visits * visit_s) / (visits + 0.5)
    quiet = 0.85 * quiet_s, 1.15 * quiet_s
    return [_recorded(n, seconds, quiet, wh) or _drawn(n, seconds, quiet, wh) for n in range(count)]


def _drawn(number: int, seconds: float, quiet_s: tuple[float, float], wh: tuple[int, int]) -> Source:
    return Drawn(f"capacity{number}", _FIRST + number, (), seconds, quiet_s, _VISIT_S, wh=wh)


def _recorded(number: int, seconds: float, quiet_s: tuple[float, float], wh: tuple[int, int]) -> Source | None:
    if number % 4 != 3:
        return None
    clip = (INDOOR, LAWN)[number // 4 % 2]
    source = Recorded(f"capacity{number}", clip, FOOTAGE, seconds, quiet_s, seed=_FIRST + number, wh=wh)
    return source if source.there else None
