"""Is the picture worth looking at, or is it black, white, frozen or covered?"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from pydantic import BaseModel, Field

from pipelines.prefilter.cover import Cover, CoverOptions
from pipelines.values import U8, Cause


class ValidityOptions(BaseModel, frozen=True, extra="forbid"):
    """When a picture says nothing. Levels are those of 8-bit luma."""

    enabled: bool = Field(True, description="false: every picture counts as sound.")
    interval_s: float = Field(1.0, ge=0, description="A sound picture is looked at once in this time, s.")
    black_level: int = Field(
        32, ge=0, le=255, description="Black: nothing above this level after smoothing, and no light in it."
    )
    white_level: int = Field(
        232, ge=0, le=255, description="White: nothing below this level after smoothing, and no dark spot in it."
    )
    structure_levels: float = Field(
        1.5, ge=0, description="Black and white pictures vary by less than this after smoothing."
    )
    frozen_s: float = Field(
        30.0, gt=0, description="Frozen: the same pixels for this long, or, sooner, in two key frames; s."
    )
    cover: CoverOptions = Field(CoverOptions(), description="When the lens counts as covered or blurred.")


@dataclass(frozen=True, slots=True)
class ValidityStatistics:
    """Counters of one camera since start."""

    looks: int
    """Pictures looked at; the frames in between had the same verdict."""
    invalid: Mapping[Cause, int]
    """Verdicts other than sound, each change counted once."""


_SPECK_LEVELS = 32
"""Single pixels this far off are noise; further off, a light in the dark or a thing before the white."""


class Validity:
    """One camera's verdict, remembered between looks. Pure: time is an argument. Pump thread.

    A sound picture is looked at once per `interval_s` (about 0.1 ms at 1080p) and at each key frame (15 us unless it
    looks frozen). An invalid one is looked at in every frame, so that the first sound frame goes on; only detail, which
    must stay low for seconds anyway, keeps to the interval.
    """

    def __init__(self, options: ValidityOptions) -> None:
        self._options = options
        self._verdict: Cause | None = None
        self._last_ns: int | None = None
        self._freeze = _Freeze(int(options.interval_s * 1e9), int(options.frozen_s * 1e9))
        self._cover = Cover(options.cover)
        self._looks = 0
        self._invalid: Counter[Cause] = Counter()

    def check(self, y: U8, thumbnail: U8, is_keyframe: bool, now_ns: int) -> Cause | None:
        """Why this frame says nothing, or None.

        Args:
            y: (h, w) uint8 luma plane; rows may be strided.
            thumbnail: (96, 160) uint8 of the same frame; it is kept, so it must not be written to later.
            is_keyframe: The frame was decoded from a key frame.
            now_ns: Time of the frame; all calls in one clock.
        """
        due = self._last_ns is None or abs(now_ns - self._last_ns) >= self._options.interval_s * 1e9
        if due or is_keyframe or self._verdict is not None:
            verdict = self._look(y, thumbnail, is_keyframe, due, now_ns)
            self._looks += 1
            if verdict is not None and verdict is not self._verdict:
                self._invalid[verdict] += 1
            self._verdict = verdict
        if due:
            self._last_ns = now_ns
        return self._verdict

    def statistics(self) -> ValidityStatistics:
        return ValidityStatistics(self._looks, dict(self._invalid))

    def _look(self, y: U8, thumbnail: U8, is_keyframe: bool, due: bool, now_ns: int) -> Cause | None:
        if (blank := self._blank(y, thumbnail)) is not None:
            return blank
        if self._freeze.look(y, thumbnail, is_keyframe, now_ns):
            return Cause.FROZEN
        covered = self._cover.look(y, now_ns) if due else self._cover.covered
        return Cause.COVERED if covered else None

    def _blank(self, y: U8, thumbnail: U8) -> Cause | None:
        """Smoothing takes the noise out; what is smaller than a thumbnail pixel is looked for in the whole plane."""
        options = self._options
        smooth = cv2.blur(thumbnail, (5, 5))
        low, high, _, _ = cv2.minMaxLoc(smooth)
        dark, light = high <= options.black_level, low >= options.white_level
        if not (dark or light) or float(np.std(smooth)) >= options.structure_levels:
            return None
        if dark:
            return Cause.BLACK if y.max() <= options.black_level + _SPECK_LEVELS else None
        return Cause.WHITE if y.min() >= options.white_level - _SPECK_LEVELS else None


class _Freeze:
    """The same pixels in two key frames, or for `frozen_s`.

    Within a group of pictures an encoder may skip every block of a quiet scene, so identical frames prove nothing; a
    key frame is coded anew, and a live sensor's noise with it. The long time is for streams whose key frames are never
    among the analysed frames. Frames closer than `interval` prove nothing either: a slow shutter repeats them.
    The whole plane is hashed only when the thumbnail is the same as before.
    """

    def __init__(self, interval_ns: int, frozen_ns: int) -> None:
        self._interval_ns = interval_ns
        self._frozen_ns = frozen_ns
        self._thumbnail: U8 | None = None
        self._hash: int | None = None
        self._since_ns = self._hashed_ns = 0
        self._frozen = False

    def look(self, y: U8, thumbnail: U8, is_keyframe: bool, now_ns: int) -> bool:
        """Frozen? Costs 2 us, and 0.3 ms per 1 MB of `y` where the thumbnail has not changed."""
        if self._thumbnail is None or now_ns < self._hashed_ns or not np.array_equal(thumbnail, self._thumbnail):
            self._restart(thumbnail, None, now_ns)
        elif self._tells(is_keyframe, now_ns):
            code = zlib.crc32(np.ascontiguousarray(y).data)
            if self._hash is not None and code != self._hash:
                self._restart(thumbnail, code, now_ns)
            else:
                self._frozen = self._hash is not None
                self._hash, self._hashed_ns = code, now_ns
        return self._frozen

    def _tells(self, is_keyframe: bool, now_ns: int) -> bool:
        long_enough = now_ns - self._since_ns >= self._frozen_ns
        return (is_keyframe or long_enough) and now_ns - self._hashed_ns >= self._interval_ns

    def _restart(self, thumbnail: U8, code: int | None, now_ns: int) -> None:
        self._thumbnail, self._hash, self._frozen = thumbnail, code, False
        self._since_ns = self._hashed_ns = now_ns
