"""Whether a camera's packets are decoded: asleep, waking, awake. Pure: time and score are arguments.

| state  | a packet comes                                   | action | next   |
|--------|--------------------------------------------------|--------|--------|
| awake  | within the hold, or the stream cannot be gated   | DECODE | awake  |
| awake  | the hold is over, the score is still high        | DECODE | awake  |
| awake  | the hold is over                                 | SLEEP  | asleep |
| asleep | score at or above what waking asks, or a trigger | DECODE | awake  |
| asleep | the same, but the kept group is not whole        | SLEEP  | waking |
| asleep | score, but a key frame comes before the catch-up | SLEEP  | waking |
|        | would be done                                    |        |        |
| waking | the kept group is whole: a key frame came        | DECODE | awake  |
| waking | any other                                        | SLEEP  | waking |
| asleep | a key frame, and the heartbeat is due            | GLANCE | asleep |
| asleep | any other                                        | SLEEP  | asleep |

The hold is prolonged by what the picture gates see (`seen`). A camera that the score alone woke is looked at for
`look_s`; while the score would wake it at once again it stays awake, since coming back costs the catch-up anew.

What waking asks of the score grows with what it costs: behind a key frame there is next to nothing to catch up with,
at the end of a long group there are seconds. `threshold` is for one second of catch-up (see `asks`).
"""

from __future__ import annotations

from enum import StrEnum
from math import inf

from pydantic import BaseModel, Field

from pipelines.contracts import GateStatistics
from pipelines.values import Action


class SleepOptions(BaseModel, frozen=True, extra="forbid"):
    """When packets are worth a decoder."""

    enabled: bool = Field(True, description="false: every packet is decoded.")
    threshold: float = Field(
        3.5,
        gt=0,
        description="Packet score, in deviations from the stream's own quiet, that wakes a second after a key frame.",
    )
    hold_s: float = Field(
        1.0, gt=0, description="Awake this long after the last thing that motion and presence saw, s."
    )
    look_s: float = Field(0.4, gt=0, description="Awake this long when packets woke it and nothing is seen, s.")
    cost_power: float = Field(
        0.3, ge=0, le=2, description="How much the score asked for grows with what has to be caught up with; 0: not."
    )
    heartbeat_s: float = Field(
        15.0, ge=1, description="A sleeping camera's key frame is decoded at least this often, s."
    )


_KEY_FRAME_S = 1 / 3
"""A key frame costs about as much as so much of the stream."""
_MOST_COST = 4.0
"""Of a second's catch-up: longer groups ask for no more."""
_CATCH_UP_SHARE = 0.1
"""A decoder takes about so much of the time that it has to catch up with."""
_MOST_WAIT_S = 0.3
"""For the key frame that makes a catch-up needless."""
_STAY = 0.7
"""Share of the threshold above which a camera does not fall asleep."""


class Gate(StrEnum):
    ASLEEP = "asleep"
    WAKING = "waking"
    AWAKE = "awake"


class SleepGate:
    """One camera's state. Starts awake. Pump thread; `trigger` from any."""

    def __init__(self, options: SleepOptions) -> None:
        self.threshold = options.threshold
        """Moved by the audit towards the target recall."""
        self._hold_ns = int(options.hold_s * 1e9)
        self._look_ns = int(options.look_s * 1e9)
        self._cost_power = options.cost_power
        self._heartbeat_ns = int(options.heartbeat_s * 1e9)
        self._state = Gate.AWAKE
        self._awake_until_ns: int | None = None
        self._glanced_ns = self._now_ns = 0
        self._trigger_until_ns = 0
        self._saw = False
        self._wakes = self._false_wakes = self._glances = 0
        self._reason = ""

    @property
    def state(self) -> Gate:
        return self._state

    def asks(self, behind_s: float) -> float:
        """The score that wakes this camera where it would have to decode `behind_s` of its stream to catch up."""
        cost = min((_KEY_FRAME_S + behind_s) / (_KEY_FRAME_S + 1.0), _MOST_COST)
        return self.threshold * float(cost**self._cost_power)

    def restart(self) -> None:
        """A new connection: awake, as at the start."""
        self._state = Gate.AWAKE
        self._awake_until_ns = None

    def trigger(self, until_ns: int) -> None:
        """Somebody outside wants this camera awake until then. One integer: any thread."""
        self._trigger_until_ns = until_ns

    def seen(self, now_ns: int) -> None:
        """Motion and presence saw something, or an episode is alive: stay awake for the hold."""
        self._saw = True
        self._awake_until_ns = max(self._awake_until_ns or 0, now_ns + self._hold_ns)
        if self._state is Gate.ASLEEP and self._awake_until_ns > self._now_ns:  # in the glance of a heartbeat
            self._state = Gate.WAKING

    def admit(
        self,
        score: float,
        is_key: bool,
        whole: bool,
        ungateable: str,
        now_ns: int,
        behind_s: float = 1.0,
        key_in_s: float = inf,
    ) -> Action:
        """Decide for one packet.

        Args:
            score: Of this packet, by the predictor.
            is_key: A decoder can start here.
            whole: The kept group leads from a key frame to this packet, or it is one.
            ungateable: Why this stream must be decoded whatever the score says; empty: it need not.
            now_ns: Of the packet.
            behind_s: Since the last key frame: what a decoder would have to catch up with.
            key_in_s: Until the next one, if they keep coming as they did; not above 0: it is overdue.
        """
        self._reason, self._now_ns = ungateable, now_ns
        wanted = bool(ungateable) or now_ns < self._trigger_until_ns
        if self._state is Gate.AWAKE:
            return self._awake(wanted, score, now_ns)
        if wanted or self._state is Gate.WAKING or score >= self.asks(behind_s):
            near = 0 < key_in_s <= min(_CATCH_UP_SHARE * behind_s, _MOST_WAIT_S)
            if whole and (wanted or not near):
                return self._wake(now_ns)
            self._state = Gate.WAKING
            return Action.SLEEP
        if is_key and now_ns - self._glanced_ns >= self._heartbeat_ns:
            self._glanced_ns = now_ns
            self._glances += 1
            return Action.GLANCE
        return Action.SLEEP

    def _awake(self, wanted: bool, score: float, now_ns: int) -> Action:
        if self._awake_until_ns is None or wanted:
            self._awake_until_ns = max(self._awake_until_ns or 0, now_ns + self._hold_ns)
        if now_ns > self._awake_until_ns and score >= _STAY * self.threshold:
            self._awake_until_ns = now_ns + self._look_ns
        if now_ns <= self._awake_until_ns:
            return Action.DECODE
        self._false_wakes += not self._saw
        self._state = Gate.ASLEEP
        self._glanced_ns = now_ns
        return Action.SLEEP

    def _wake(self, now_ns: int) -> Action:
        self._state = Gate.AWAKE
        self._awake_until_ns = max(self._awake_until_ns or 0, now_ns + self._look_ns)
        self._saw = False
        self._wakes += 1
        return Action.DECODE

    def statistics(self) -> GateStatistics:
        return GateStatistics(self._state.value, self._wakes, self._false_wakes, self._glances, self._reason)
