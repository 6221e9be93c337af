"""What the answers say of one camera, for as long as it is awake: shall what the picture gates see keep it so?

The picture gates see that something differs from the background. The detector, which is asked about those pictures, is
the better judge: what it found keeps a camera awake though nothing moves, and what it has denied for a while does not
keep it awake though something does: a shadow, a new exposure. Then the packets decide again, as for any sleeper.
"""

from __future__ import annotations

_DENIED_NS = 3_000_000_000
"""An unbroken run of answers without anything wanted that is this long is believed."""
_RUN_GAP_NS = 1_000_000_000
"""Answers further apart are not of one run: between them the camera slept, or the worker was away."""
_STILL_LIFE_NS = 10 * 1_000_000_000
"""What has not moved for so long has been parked, and lets the camera sleep though its episode lives."""


class Attention:
    """Of one camera. The event loop tells it of answers, the pump asks; times are the scene's.

    Plain numbers, each of which may be a moment old.
    """

    def __init__(self) -> None:
        self.alive = False
        """An episode lives."""
        self._wanted_ns = 0
        """Of the newest picture with something wanted."""
        self._run_since_ns = self._heard_ns = 0
        """Of the first and of the newest picture in the present run of answers."""
        self._moved_ns = 0

    def answered(self, time_ns: int, wanted_ns: int, alive: bool) -> None:
        """An answer came. Event loop.

        Args:
            time_ns: Of its picture.
            wanted_ns: Of the newest picture that had something wanted; 0: none had.
            alive: An episode lives now.
        """
        if time_ns - self._heard_ns > _RUN_GAP_NS:
            self._run_since_ns = time_ns
        self._heard_ns = max(self._heard_ns, time_ns)
        self._wanted_ns = wanted_ns
        self.alive = alive

    def restart(self) -> None:
        """The scene's clock is another one. Pump."""
        self._run_since_ns = self._heard_ns = self._wanted_ns = self._moved_ns = 0

    def last_there_ns(self, time_ns: int, seen: bool, moving: bool) -> int | None:
        """When something was there that keeps the camera awake; None: not that one knew. Pump.

        Args:
            time_ns: Of the picture that is analysed.
            seen: The picture gates see something there.
            moving: Something moves, or did a moment ago.
        """
        if moving:
            self._moved_ns = time_ns
        if seen and not self._denied(time_ns):
            return time_ns
        if self.alive and time_ns - self._moved_ns < _STILL_LIFE_NS:
            # Where things move the gates see them leave; who stands still is looked for until the episode ends.
            return self._wanted_ns if moving else time_ns
        return None

    def _denied(self, time_ns: int) -> bool:
        since_ns = max(self._run_since_ns, self._wanted_ns)
        return 0 <= time_ns - self._heard_ns <= _RUN_GAP_NS and self._heard_ns - since_ns >= _DENIED_NS
