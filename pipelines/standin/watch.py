"""Does the worker answer? Pure: time is an argument.

| it is   | since                                              | until                        | frames go to it |
|---------|----------------------------------------------------|------------------------------|-----------------|
| absent  | the start, or the loss of the (last) lane          | a lane is attached           | never           |
| silent  | it had tasks and answered none for `silence_ms`    | any answer                   | as probes       |
| failing | `failures` answers in a row said that work failed  | one that says it went well   | as probes       |
| sound   | otherwise                                          |                              | always          |

An answer that a task came too late is a sound worker's word. A worker that answers steadily, if slowly, is not silent:
too much work is another matter, with outcomes of its own.
"""

from __future__ import annotations

import threading

from pipelines.standin.options import DegradedOptions
from pipelines.values import FAILED_CODES, AnswerCode

_TIMES_USUAL = 3


class WorkerWatch:
    """All workers together, as one. The event loop tells and looks; pumps ask `gives`."""

    def __init__(self, options: DegradedOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._absent: str | None = "no worker has attached yet"
        self.ever_attached = False
        self._silent = ""
        self._failing = ""
        self._failed_in_a_row = 0
        self._heard_ns = 0
        self._probed_ns = 0

    @property
    def reason(self) -> str:
        """Why it does not answer, for people; empty while it does."""
        return self._absent if self._absent is not None else self._failing or self._silent

    def attached(self, now_ns: int) -> None:
        """A lane is there."""
        self._absent, self._silent, self._failing = None, "", ""
        self.ever_attached = True
        self._failed_in_a_row, self._heard_ns = 0, now_ns

    def lost(self, reason: str) -> None:
        """The last lane is gone."""
        self._absent = f"no worker is attached: {reason}"

    def heard(self, code: AnswerCode, now_ns: int) -> None:
        """An answer came."""
        self._heard_ns, self._silent = now_ns, ""
        if code in FAILED_CODES:
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= self._options.failures and not self._failing:
                self._failing = f"the worker's answers fail: {code.name.lower()}"
                self._probed_ns = now_ns
        elif code is AnswerCode.OK:
            self._failing, self._failed_in_a_row = "", 0

    def limit_ns(self, usual_ns: int) -> int:
        """Silence up to this is nothing unusual. `usual_ns`: what a task takes by recent experience."""
        return max(self._options.silence_ms * 1_000_000, _TIMES_USUAL * usual_ns)

    def look(self, now_ns: int, oldest_ns: int | None, usual_ns: int) -> None:
        """A few times a second. `oldest_ns`: when the oldest task that is out was published; None: none is out."""
        if self._absent is not None or self._silent or oldest_ns is None:
            return
        quiet_ns = now_ns - max(self._heard_ns, oldest_ns)
        if quiet_ns > self.limit_ns(usual_ns):
            self._silent = f"the worker has tasks and has answered none for {quiet_ns / 1e9:.1f} s"
            self._probed_ns = now_ns

    def gives(self, now_ns: int) -> bool:
        """May the frame in hand go to the worker? Any thread. True for a probe takes the probe's turn."""
        if self._absent is not None:
            return False
        if not (self._failing or self._silent):
            return True
        with self._lock:
            if now_ns - self._probed_ns < self._options.probe_ms * 1_000_000:
                return False
            self._probed_ns = now_ns
            return True
