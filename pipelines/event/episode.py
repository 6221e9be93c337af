"""One camera's detections become episodes: `new`, `update` at most once a second, `end`. Pure: time is an argument.

| state      | event                                            | record  | next state |
|------------|--------------------------------------------------|---------|------------|
| idle       | wanted >= min_score, `confirm_frames` in a row   | new     | alive      |
| alive      | wanted >= keep_score, update_interval_s passed   | update  | alive      |
| alive      | a class this episode has not had                 | update  | alive      |
| alive      | wanted >= keep_score, otherwise                  | -       | alive      |
| alive      | end_after_s without                              | end     | idle       |
| alive      | close()                                          | end     | idle       |
| any        | a frame of before the last end                   | -       | unchanged  |

Answers may come out of order. A frame older than the newest seen can begin an episode and can be its best picture, but
makes no `update` and moves no time back: within an episode `time_ms` never decreases.

Camera time (`FrameResult.time_ns`) decides how long nothing was seen between two frames. `tick(now)` ends an episode
when no frame comes to say so, counted from the `now` at which the last sighting was heard: give `update` and `tick` the
same clock, and a slow worker ends nothing early. Camera time and that clock have one scale; a file that is read as fast
as possible has none in common with us: give `update` its camera time, and do not tick.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import Field

from pipelines.event.event_id import uuid7
from pipelines.event.sighting import Sighting, SightingOptions, sight
from pipelines.values import Alert, AlertType, FrameResult, Timeline

GONE = "gone"
"""The reason of an `end` after `end_after_s` without."""


class EpisodeOptions(SightingOptions, frozen=True, extra="forbid"):
    """When an episode begins, is told again, and ends."""

    confirm_frames: int = Field(
        1, ge=1, description="Analysed frames in a row that must agree before an alert is raised."
    )
    update_interval_s: float = Field(1.0, gt=0, description="Least time (s) between two updates of an episode.")
    end_after_s: float = Field(2.0, gt=0, description="An episode ends after this long (s) without a wanted detection.")


@dataclass(frozen=True, slots=True)
class EpisodeStatistics:
    """Counters of one tracker since it was made."""

    new: int = 0
    """Alerts are counted by this one."""
    updates: int = 0
    ends: int = 0
    late_ignored: int = 0
    """Results of frames from before the last end: told already."""


@dataclass(slots=True)
class _Episode:
    """The living episode. `last` is the newest sighting, `best` the one with the highest score."""

    event_id: str
    started_ms: int
    source: str
    last: Sighting
    best: Sighting
    heard_ns: int
    told_ns: int
    told_ms: int
    classes: set[str] = field(default_factory=set)


class EpisodeTracker:
    """The episodes of one camera; at most one lives. Event loop only. Costs some 10 us per frame, more with masks."""

    def __init__(self, camera_id: str, options: EpisodeOptions, new_id: Callable[[int], str] = uuid7) -> None:
        self._camera_id = camera_id
        self._options = options
        self._new_id = new_id
        self._end_after_ns = round(options.end_after_s * 1e9)
        self._interval_ns = round(options.update_interval_s * 1e9)
        self._episode: _Episode | None = None
        self.wanted_ns = 0
        """Camera time of the newest frame with something wanted; 0: none yet."""
        self._newest_ns = -1
        self._closed_ns = 0
        self._streak = 0
        self._streak_last_ns = 0
        self._streak_started_ms = 0
        self._new = self._updates = self._ends = self._late_ignored = 0

    @property
    def alive(self) -> bool:
        """An episode lives: the gates let some frames of its camera pass, or who stands still would vanish."""
        return self._episode is not None

    @property
    def event_id(self) -> str | None:
        """Of the living episode."""
        return self._episode.event_id if self._episode else None

    def statistics(self) -> EpisodeStatistics:
        return EpisodeStatistics(self._new, self._updates, self._ends, self._late_ignored)

    def wants(self, result: FrameResult) -> bool:
        """Would this frame begin an episode, were it the first?"""
        least = self._options.beginning_score(result.score_threshold)
        return sight(result, result.time_ns, self._options, least) is not None

    def update(self, result: FrameResult, now_ns: int) -> list[Alert]:
        """Take one frame's detections; `now_ns` is when they were heard. Returns the records, in order: at most two."""
        time_ns = result.time_ns or min(now_ns, result.timeline.arrival_ns or now_ns)
        if time_ns < self._closed_ns:
            self._late_ignored += 1
            return []
        alerts: list[Alert] = []
        if self._episode and time_ns - self._episode.last.time_ns >= self._end_after_ns:
            alerts.append(self._end(self._episode, GONE))
        threshold = self._options.keeping_score if self._episode else self._options.beginning_score
        least = threshold(result.score_threshold)
        sighting = sight(result, time_ns, self._options, least)
        in_order = time_ns > self._newest_ns
        self._newest_ns = max(self._newest_ns, time_ns)
        if sighting is None:
            if in_order:
                self._streak = 0
            return alerts
        self.wanted_ns = max(self.wanted_ns, time_ns)
        if self._episode is None:
            return alerts + self._begin(sighting, now_ns)
        return alerts + self._go_on(self._episode, sighting, now_ns)

    def tick(self, now_ns: int) -> list[Alert]:
        """Time passes without frames: end what has not been heard of. Call it every 0.1-0.5 s."""
        if self._episode and now_ns - self._episode.heard_ns >= self._end_after_ns:
            return [self._end(self._episode, GONE)]
        return []

    def close(self, now_ns: int, reason: str) -> list[Alert]:
        """The camera is removed or the process drains: end what lives. Frames from before `now_ns` are told already."""
        alerts = [self._end(self._episode, reason)] if self._episode else []
        self._closed_ns = max(self._closed_ns, now_ns)
        self._streak = 0
        return alerts

    def _begin(self, sighting: Sighting, now_ns: int) -> list[Alert]:
        """Nothing lives: count the streak of frames that agree, and begin when it is long enough."""
        if self._streak == 0 or sighting.time_ns - self._streak_last_ns >= self._end_after_ns:
            self._streak = 0
            self._streak_started_ms = sighting.wall_ms
        self._streak += 1
        self._streak_last_ns = sighting.time_ns
        if self._streak < self._options.confirm_frames:
            return []
        started_ms = min(self._streak_started_ms, sighting.wall_ms)
        episode = _Episode(
            event_id=self._new_id(started_ms),
            started_ms=started_ms,
            source=sighting.source,
            last=sighting,
            best=sighting,
            heard_ns=now_ns,
            told_ns=sighting.time_ns,
            told_ms=sighting.wall_ms,
            classes=set(sighting.classes),
        )
        self._episode = episode
        self._new += 1
        return [self._alert(episode, AlertType.NEW, sighting, sighting.source)]

    def _go_on(self, episode: _Episode, sighting: Sighting, now_ns: int) -> list[Alert]:
        """Seen again: remember it, and tell it when it is time or when a class is new."""
        episode.heard_ns = max(episode.heard_ns, now_ns)
        if sighting.top_score > episode.best.top_score:
            episode.best = sighting
        if sighting.time_ns <= episode.last.time_ns:
            return []
        episode.last = sighting
        due = sighting.time_ns - episode.told_ns >= self._interval_ns
        if not due and episode.classes.issuperset(sighting.classes):
            return []
        episode.classes.update(sighting.classes)
        episode.told_ns = sighting.time_ns
        self._updates += 1
        return [self._alert(episode, AlertType.UPDATE, sighting, sighting.source)]

    def _end(self, episode: _Episode, reason: str) -> Alert:
        """Its time is when it was last seen, its boxes the best. No timeline: no frame's arrival caused it."""
        self._episode = None
        self._streak = 0
        self._closed_ns = max(self._closed_ns, episode.last.time_ns + self._end_after_ns)
        self._ends += 1
        return self._alert(episode, AlertType.END, episode.best, episode.source, reason)

    def _alert(self, episode: _Episode, kind: AlertType, shown: Sighting, source: str, reason: str = "") -> Alert:
        episode.told_ms = max(episode.told_ms, episode.last.wall_ms)
        return Alert(
            event_id=episode.event_id,
            type=kind,
            camera_id=self._camera_id,
            time_ms=episode.told_ms,
            started_ms=episode.started_ms,
            boxes=shown.boxes,
            classes=shown.classes,
            scores=shown.scores,
            source_wh=shown.source_wh,
            task_id=str(shown.task),
            model=shown.model,
            timeline=Timeline() if kind is AlertType.END else shown.timeline,
            degraded=shown.degraded,
            source=source,
            reason=reason,
        )
