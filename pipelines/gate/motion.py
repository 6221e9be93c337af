"""The motion gate: does anything change in a camera's small picture that light, noise and flicker do not explain?"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from pipelines.gate.light import LightFit
from pipelines.gate.standing import Standing
from pipelines.values import F32, U8

Mask = npt.NDArray[np.bool_]
"""(96, 160) bool."""


class MotionOptions(BaseModel, frozen=True, extra="forbid"):
    """When a change counts as motion. Pixels are those of the 160x96 thumbnail, levels those of 8-bit luma."""

    enabled: bool = Field(True, description="false: every frame counts as moving.")
    sensitivity: float = Field(1.0, gt=0, le=10, description="Higher finds fainter change: divides both thresholds.")
    noise_factor: float = Field(6.0, gt=0, description="Change counts above this many times a pixel's own noise.")
    least_levels: float = Field(5.0, gt=0, description="Change below this never counts, levels.")
    most_levels: float = Field(24.0, gt=0, description="Change above this always counts, however restless, levels.")
    shift_px: float = Field(0.5, ge=0, description="Movement of the camera that is no change, thumbnail px.")
    least_px: int = Field(
        12, ge=1, le=25, description="Changed pixels within 5x5 that make a change a thing, thumbnail px."
    )
    hold_s: float = Field(2.0, ge=0, description="After motion, frames go on for this long, s.")
    warmup_s: float = Field(3.0, ge=0, description="After a start every frame goes on for this long, s.")
    background_s: float = Field(10.0, gt=0, description="Time constant of the background where nothing moves, s.")
    absorb_s: float = Field(30.0, gt=0, description="What stays unmoved for this long becomes background, s.")
    noise_s: float = Field(20.0, gt=0, description="Time constant of the per-pixel noise, s.")
    scene_fraction: float = Field(0.6, gt=0, le=1, description="Changed share of the picture that may be a new scene.")
    scene_s: float = Field(1.0, ge=0, description="How long that share must stay changed to be a new scene, s.")


@dataclass(frozen=True, slots=True)
class MotionVerdict:
    """What the gate says of one frame."""

    moving: bool
    """Let the frame go on: motion, or the hold after it, or warm-up."""
    changed: bool
    """Motion in this very frame, or warm-up."""
    score: float
    """Greatest change in units of its pixel's threshold; 1 and more is a change, if enough pixels share it."""
    scene_change: bool
    """The background was given up with this frame: another view, or light that no gain explains."""


_SHAPE = (96, 160)
_SAMPLE_STEP_PX = 4
"""A row's bands and the picture's typical noise are read off each fourth pixel."""
_WARMUP_FRAMES = 8
_RELEARN_NS = 5_000_000_000
_FIRST_NOISE_LEVELS = 1.0
_NOISE_CAP_LEVELS = 6.0
"""One sample of noise counts for no more than this, so that a passing thing does not make its path blind."""
_NOISE_WEIGHT_LIMIT = 0.1
_BAND_LEVELS = 6.0
"""A pixel's vote on its row's common change is limited to this: it leaves objects alone, and bands are weaker."""
_STEP_TO_DEVIATION = 0.5**0.5
"""From the mean absolute difference of two successive samples to the mean absolute deviation of one."""
_NEIGHBOURS = np.ones((3, 3), np.uint8)
_BLOB_PX = (5, 5)
_SPREAD = np.ones((5, 5), np.uint8)
"""Around changed pixels the background waits: a thing's soft edge and shadow are below the threshold."""
_CALM_FACTOR, _CALM_LEVELS = 7.0, (4.0, 16.0)
"""A changed pixel stands still while its steps stay below this many times the picture's typical noise, within these
levels. (Its own noise would not do: what fidgets makes its own.)"""


class MotionGate:
    """One camera's background, noise and verdict. Deterministic, no clock. One thread.

    Costs 60 us per still frame, 120 us where things move.

    Per frame: fit the global light (gain and offset) and carry the background to it; subtract; take out what is common
    to a whole row (the bands that mains light makes with a rolling shutter); average 3x3; compare with a threshold per
    pixel, a multiple of the noise learned there. A change is motion where `least_px` pixels within 5x5 share it.

    The background follows where nothing changes and waits where something does: a thing creeping in is not absorbed on
    its way, and one that leaves leaves no ghost. What stands unmoved for `absorb_s` replaces the background at once.
    Noise is learned from the step between frames: what stands still makes none.
    """

    def __init__(self, options: MotionOptions, ignore: Mask | None = None) -> None:
        """ignore: (96, 160) bool, True where change never counts; None for nowhere."""
        self._options = options
        self._watched: F32 = np.ones(_SHAPE, np.float32)
        if ignore is not None:
            self._watched[ignore] = 0.0
        self._watched_px = max(int(self._watched.sum()), 1)
        self._light = LightFit()
        self._background: F32 = np.zeros(_SHAPE, np.float32)
        self._change: F32 = np.zeros(_SHAPE, np.float32)
        self._noise: F32 = np.zeros(_SHAPE, np.float32)
        self._inverse: F32 = np.zeros(_SHAPE, np.float32)
        self._standing = Standing()
        self._calm_levels = 0.0
        self._frames = 0
        self._last_ns = self._started_ns = self._learned_ns = 0
        self._hold_until_ns: int | None = None
        self._scene_since_ns: int | None = None

    def update(self, thumbnail: U8, time_ns: int) -> MotionVerdict:
        """Judge one frame and learn from it. thumbnail: (96, 160) uint8."""
        if not self._frames:
            self._start(thumbnail, time_ns)
            return MotionVerdict(True, True, 0.0, False)
        passed_s = self._advance(time_ns)
        before, self._change = self._change, self._difference(thumbnail)
        ratio = np.abs(self._change)
        ratio *= self._inverse
        score = float(ratio.max())
        changed = cv2.compare(ratio, 1.0, cv2.CMP_GE) if score >= 1.0 else None
        changed_px = cv2.countNonZero(changed) if changed is not None else 0
        if self._new_scene(changed_px, time_ns):
            self._start(thumbnail, time_ns)
            return MotionVerdict(True, True, score, True)
        warm = self._warm(time_ns)
        self._learn(thumbnail, before, changed if warm else None, passed_s)
        thing = changed is not None and changed_px >= self._options.least_px and self._has_blob(changed)
        if thing and warm:
            self._hold_until_ns = time_ns + int(self._options.hold_s * 1e9)
        held = self._hold_until_ns is not None and time_ns <= self._hold_until_ns
        return MotionVerdict(held or not warm, thing or not warm, score, False)

    # --- time ------------------------------------------------------------------------------------------------------

    def _start(self, thumbnail: U8, time_ns: int) -> None:
        """Begin anew with this picture as background."""
        self._background[:] = thumbnail
        self._change = np.zeros(_SHAPE, np.float32)
        self._noise[:] = _FIRST_NOISE_LEVELS
        self._standing.update(None, 0.0)
        self._frames = 1
        self._last_ns = self._started_ns = time_ns
        self._hold_until_ns = self._scene_since_ns = None
        self._relearn(time_ns)

    def _advance(self, time_ns: int) -> float:
        """Seconds since the last frame. Time that ran backward moves all that was waiting for a time with it."""
        passed_ns = time_ns - self._last_ns
        self._last_ns = time_ns
        self._frames += 1
        if passed_ns < 0:
            self._started_ns += passed_ns
            self._learned_ns = min(self._learned_ns, time_ns)
            self._scene_since_ns = None
            if self._hold_until_ns is not None:
                self._hold_until_ns += passed_ns
        return max(passed_ns, 0) / 1e9

    def _warm(self, time_ns: int) -> bool:
        """The background is known."""
        return self._frames > _WARMUP_FRAMES and time_ns - self._started_ns >= self._options.warmup_s * 1e9

    # --- the picture -----------------------------------------------------------------------------------------------

    def _difference(self, thumbnail: U8) -> F32:
        """(96, 160) float32 levels that light and bands do not explain, averaged 3x3. Moves the background's light."""
        gain, offset = self._light.fit(thumbnail, self._background)
        if (gain, offset) != (1.0, 0.0):
            cv2.addWeighted(self._background, gain, self._background, 0.0, offset, dst=self._background)
            np.clip(self._background, 0.0, 255.0, out=self._background)
            self._light.carried(gain, offset)
        raw = thumbnail - self._background
        votes = np.clip(raw[:, ::_SAMPLE_STEP_PX], -_BAND_LEVELS, _BAND_LEVELS)
        change: F32 = cv2.blur(raw - cv2.reduce(votes, 1, cv2.REDUCE_AVG), (3, 3))
        return change

    def _has_blob(self, changed: U8) -> bool:
        """Are enough changed pixels close together? changed: (96, 160) uint8, 255 where changed."""
        density = cv2.boxFilter(changed, cv2.CV_16U, _BLOB_PX, normalize=False, borderType=cv2.BORDER_CONSTANT)
        return bool(density.max() >= 255 * self._options.least_px)

    def _new_scene(self, changed_px: int, time_ns: int) -> bool:
        """Has most of the picture been another one for long enough?"""
        if changed_px < self._options.scene_fraction * self._watched_px:
            self._scene_since_ns = None
            return False
        if self._scene_since_ns is None:
            self._scene_since_ns = time_ns
        return time_ns - self._scene_since_ns >= self._options.scene_s * 1e9

    # --- learning --------------------------------------------------------------------------------------------------

    def _learn(self, thumbnail: U8, before: F32, changed: U8 | None, passed_s: float) -> None:
        """changed: (96, 160) uint8, 255 where the background must wait; None for nowhere."""
        step = cv2.absdiff(self._change, before)
        warm = self._warm(self._last_ns)
        weight = 1.0 - exp(-passed_s / self._options.background_s) if warm else 1.0 / self._frames
        if changed is None:
            self._standing.update(None, passed_s)
            cv2.accumulateWeighted(thumbnail, self._background, weight)
        else:
            calm = cv2.bitwise_and(changed, cv2.compare(step, self._calm_levels, cv2.CMP_LT))
            self._standing.update(calm, passed_s)
            follows = cv2.bitwise_not(cv2.dilate(changed, _SPREAD))
            cv2.accumulateWeighted(thumbnail, self._background, weight, mask=follows)
            self._absorb(thumbnail, changed)
        cv2.threshold(step, _NOISE_CAP_LEVELS / _STEP_TO_DEVIATION, 0.0, cv2.THRESH_TRUNC, dst=step)
        share = min(passed_s / self._options.noise_s, _NOISE_WEIGHT_LIMIT) if warm else 1.0 / self._frames
        cv2.addWeighted(self._noise, 1.0 - share, step, share * _STEP_TO_DEVIATION, 0.0, dst=self._noise)
        if not warm or self._last_ns - self._learned_ns >= _RELEARN_NS:
            self._relearn(self._last_ns)

    def _absorb(self, thumbnail: U8, changed: U8) -> None:
        """What stands becomes background."""
        region = self._standing.take(changed, self._options.absorb_s)
        if region is not None:
            self._background[region] = thumbnail[region]
            self._change[region] = 0.0

    def _relearn(self, time_ns: int) -> None:
        """Thresholds from the noise and the edges, thirds of the light fit from the background."""
        options = self._options
        noise = cv2.blur(self._noise, (3, 3)) * options.noise_factor
        threshold = np.clip(noise, options.least_levels, options.most_levels)
        threshold += _slope(self._background) * options.shift_px
        self._inverse = self._watched * options.sensitivity / threshold
        typical = float(np.median(self._noise[::_SAMPLE_STEP_PX, ::_SAMPLE_STEP_PX]))
        self._calm_levels = min(max(typical * _CALM_FACTOR, _CALM_LEVELS[0]), _CALM_LEVELS[1])
        self._light.learn(self._background)
        self._learned_ns = time_ns


def _slope(background: F32) -> F32:
    """(96, 160) float32: what a 3x3 mean changes by when the picture moves by one pixel, levels."""
    smooth = cv2.blur(background, (3, 3))
    slope: F32 = (cv2.dilate(smooth, _NEIGHBOURS) - cv2.erode(smooth, _NEIGHBOURS)) / 2
    return slope
