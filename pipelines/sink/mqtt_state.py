"""What an MQTT broker is told besides events: which episodes are open, and the last value of each state topic. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.values import Alert, AlertType

_OPEN_PER_CAMERA = 64
"""Open episodes remembered per camera; the oldest are forgotten (their end was never seen)."""


class Latest:
    """The last value of each state topic; a newer value replaces an older one that was not sent yet.

    Bound: one value per topic, so as many as cameras and classes.
    """

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self._unsent: dict[str, bytes] = {}

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def put(self, topic: str, value: bytes) -> None:
        """Remember a value; it is unsent only if it is news."""
        if self._values.get(topic) != value:
            self._values[topic] = self._unsent[topic] = value

    def take(self) -> Mapping[str, bytes]:
        """Everything unsent, which then counts as sent."""
        unsent, self._unsent = self._unsent, {}
        return unsent

    def renew(self) -> None:
        """A new connection: the broker may have forgotten everything."""
        self._unsent = dict(self._values)


@dataclass(frozen=True, slots=True)
class _Open:
    payload: bytes
    classes: Counter[str]


class Episodes:
    """The open episodes of all cameras, and what they contain."""

    def __init__(self) -> None:
        self._open: defaultdict[str, dict[str, _Open]] = defaultdict(dict)
        self._seen: defaultdict[str, set[str]] = defaultdict(set)

    def event(self, alert: Alert, payload: bytes) -> bytes:
        """Note one alert and make its event: {"type", "before", "after"}.

        payload: the alert as JSON. `before` is the episode's previous record; in the first it equals `after`, so that
        a consumer's template finds an object there.
        """
        episodes = self._open[alert.camera_id]
        previous = episodes.pop(alert.event_id, None)
        if alert.type is not AlertType.END:
            episodes[alert.event_id] = _Open(payload, Counter(alert.classes))
            if len(episodes) > _OPEN_PER_CAMERA:
                del episodes[next(iter(episodes))]
        self._seen[alert.camera_id].update(alert.classes)
        before = previous.payload if previous is not None else payload
        return b'{"type":"%b","before":%b,"after":%b}' % (alert.type.value.encode(), before, payload)

    def counts(self, camera_id: str) -> Mapping[str, int]:
        """How many of each class are in view of a camera, 0 for classes seen earlier."""
        total: Counter[str] = Counter()
        for episode in self._open[camera_id].values():
            total.update(episode.classes)
        return {name: total[name] for name in sorted(self._seen[camera_id])}
