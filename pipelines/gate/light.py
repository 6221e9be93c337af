"""Global light between a background and a picture: the exposure step, the lamp, the flicker that move every pixel."""

from __future__ import annotations

import numpy as np

from pipelines.values import F32, U8

_STEP_PX = 4
"""The fit looks at each fourth pixel of each fourth row: 960 of 15,360."""
_FLAT_LEVELS = 12.0
"""Below this distance between dark and bright third a gain cannot be told from an offset."""
_SAME_LEVELS = 0.5
"""Below this the picture's own rounding decides; fitting it frame after frame would pull the background astray."""
_GAIN_LIMITS = (0.4, 2.5)
"""Beyond, it is another scene rather than another exposure."""


class LightFit:
    """Fits `picture = gain * background + offset` so that moving things do not disturb it. One thread.

    Tukey's resistant line: the medians of the dark and of the bright third of the background's pixels. Objects may
    cover almost half of either third. Which pixels are dark or bright is learned by `learn` and used until the next
    call. About 10 us per fit.
    """

    def __init__(self) -> None:
        self._dark = self._bright = np.zeros(0, np.intp)
        self._low = self._high = 0.0

    def learn(self, background: F32) -> None:
        """Sort the background's pixels into thirds. (96, 160) float32. About 20 us; once a second is enough."""
        sample = background[::_STEP_PX, ::_STEP_PX].ravel()
        order = np.argsort(sample, kind="stable")
        third = len(order) // 3
        self._dark, self._bright = order[:third], order[-third:]
        self._low, self._high = _median(sample[self._dark]), _median(sample[self._bright])

    def fit(self, thumbnail: U8, background: F32) -> tuple[float, float]:
        """(gain, offset). thumbnail: (96, 160) uint8; background: (96, 160) float32, little changed since `learn`."""
        change = (thumbnail[::_STEP_PX, ::_STEP_PX] - background[::_STEP_PX, ::_STEP_PX]).ravel()
        low_change, high_change = _median(change[self._dark]), _median(change[self._bright])
        if abs(low_change) < _SAME_LEVELS and abs(high_change) < _SAME_LEVELS:
            return 1.0, 0.0
        mean_change = (low_change + high_change) / 2
        if self._high - self._low < _FLAT_LEVELS:
            return 1.0, mean_change
        slope = (high_change - low_change) / (self._high - self._low)
        gain = min(max(1.0 + slope, _GAIN_LIMITS[0]), _GAIN_LIMITS[1])
        return gain, mean_change - (gain - 1.0) * (self._low + self._high) / 2

    def carried(self, gain: float, offset: float) -> None:
        """The background was moved by this fit."""
        self._low, self._high = gain * self._low + offset, gain * self._high + offset


def _median(values: F32) -> float:
    """The upper median, by selection: a third of the time of np.median at this size."""
    middle = len(values) // 2
    return float(np.partition(values, middle)[middle])
