"""What changed and then stood still: parked, left behind, or the ghost of something that is gone."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.values import U8

_LONGEST_STEP_S = 5.0
"""No gap between two frames proves that a thing stood still for longer than this."""
_AROUND_PX, _STANDING_SHARE = (11, 11), 0.6
"""A few calm pixels of a fidgeting coat stay with the coat: most of the change around a pixel must stand too."""
_SPREAD = np.ones((5, 5), np.uint8)


class Standing:
    """For each pixel of a (96, 160) picture, how long it has been changed and calm. One thread."""

    def __init__(self) -> None:
        self._since_s = np.zeros((96, 160), np.float64)
        self._seen_s = 0.0
        self._any = False

    def update(self, calm: U8 | None, passed_s: float) -> None:
        """One more frame. calm: (96, 160) uint8, nonzero where changed and calm; None for nowhere."""
        self._seen_s += min(passed_s, _LONGEST_STEP_S)
        if calm is None:
            self._any = False
            return
        if not self._any:
            self._since_s[:] = self._seen_s
            self._any = True
        np.putmask(self._since_s, calm == 0, self._seen_s)

    def take(self, changed: U8, least_s: float) -> npt.NDArray[np.bool_] | None:
        """What has stood long enough, as a whole, with the soft edge around it.

        As a whole: once a pixel has stood for `least_s`, all that stood half as long are asked. What is taken, and what
        is refused because most around it does not stand, begins to stand anew.

        Args:
            changed: (96, 160) uint8, nonzero where changed.

        Returns:
            (96, 160) bool, or None if nothing has.
        """
        if not self._any or self._seen_s - float(self._since_s.min()) < least_s:
            return None
        stood = (self._since_s <= self._seen_s - least_s / 2).astype(np.float32)
        changing = (changed > 0).astype(np.float32)
        most = cv2.blur(stood, _AROUND_PX) >= _STANDING_SHARE * cv2.blur(changing, _AROUND_PX)
        region: npt.NDArray[np.bool_] = cv2.dilate((most & (stood > 0)).astype(np.uint8), _SPREAD).astype(bool)
        self._since_s[region | (stood > 0)] = self._seen_s
        return region
