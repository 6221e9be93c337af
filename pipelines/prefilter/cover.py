"""Is the lens covered, sprayed or out of focus? Judged by what this camera usually shows."""

from __future__ import annotations

from math import exp

from pydantic import BaseModel, Field

from pipelines.prefilter.detail import detail
from pipelines.values import U8


class CoverOptions(BaseModel, frozen=True, extra="forbid"):
    """When low detail means a covered or blurred lens."""

    ratio: float = Field(0.25, ge=0, le=1, description="Detail below this share of what the camera usually shows.")
    least_s: float = Field(5.0, ge=0, description="How long detail must stay that low, s.")
    history_s: float = Field(180.0, gt=0, description="Time constant of what the camera usually shows, s.")


_PLAIN = 0.02
"""A camera that usually shows less detail than this looks at nothing: what covers it cannot be told."""
_RECOVERED = 1.5
"""Detail must come back to this many times the limit before a covered camera counts as clear."""
_SLOWNESS = 20.0
"""While detail is low the history follows more slowly by this, so that a camera turned to a plain wall is sound again
in the end."""
_LONGEST_STEP_S = 15.0
_FIRST_LOOKS = 30
"""So many pictures make the first idea of what is usual. One alone could be of a lorry before the lens."""


class Cover:
    """One camera's usual detail, and whether it has been far below for long. Pure; pump thread.

    Fog, dusk and dirt come slowly and become usual; a plain wall is usual from the start; a hand, a bag, spray or a
    turned focus ring come at once.
    """

    def __init__(self, options: CoverOptions) -> None:
        self._options = options
        self._usual = 0.0
        self._looks = 0
        self._last_ns = 0
        self._low_since_ns: int | None = None
        self.covered = False

    def look(self, y: U8, now_ns: int) -> bool:
        """Judge one picture and learn from it, about once a second. y: (h, w) uint8 luma. About 90 us at 1080p."""
        value = detail(y)
        self._looks += 1
        limit = self._usual * self._options.ratio * (_RECOVERED if self.covered else 1.0)
        low = self._looks > _FIRST_LOOKS and self._usual > _PLAIN and value < limit
        self._learn(value, low, now_ns)
        if not low:
            self._low_since_ns = None
        elif self._low_since_ns is None or now_ns < self._low_since_ns:
            self._low_since_ns = now_ns
        self.covered = self._low_since_ns is not None and now_ns - self._low_since_ns >= self._options.least_s * 1e9
        return self.covered

    def _learn(self, value: float, low: bool, now_ns: int) -> None:
        passed_s = min(max((now_ns - self._last_ns) / 1e9, 0.0), _LONGEST_STEP_S)
        self._last_ns = now_ns
        if self._looks <= _FIRST_LOOKS:
            self._usual += (value - self._usual) / self._looks
            return
        slowness = _SLOWNESS if low else 1.0
        self._usual += (value - self._usual) * (1.0 - exp(-passed_s / (self._options.history_s * slowness)))
