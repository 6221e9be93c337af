"""Topic names in Frigate's manner. Pure.

| topic                        | retained | payload                                             |
|------------------------------|----------|-----------------------------------------------------|
| `<prefix>/available`         | yes      | online, offline (also the last will)                |
| `<prefix>/events`            | no       | {"type": new/update/end, "before": {}, "after": {}} |
| `<prefix>/<camera>/status`   | yes      | online, stalled, offline, invalid_picture           |
| `<prefix>/<camera>/health`   | yes      | the health record                                   |
| `<prefix>/<camera>/<class>`  | yes      | how many are in view now                            |

Frigate's table: https://docs.frigate.video/integrations/mqtt/
"""

from __future__ import annotations

from pipelines.values import CameraHealth, CameraState

ONLINE, OFFLINE, STALLED, INVALID_PICTURE = "online", "offline", "stalled", "invalid_picture"

_RESERVED = str.maketrans(dict.fromkeys("+#/\0", "_"))


def segment(name: str) -> str:
    """A camera id or class name as one level of a topic: `+ # /` and NUL become `_`.

    Names that differ in these letters only share their topics; the records inside keep the true id.
    """
    return name.translate(_RESERVED) or "_"


class Topics:
    """The topics under one prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.available = f"{prefix}/available"
        self.events = f"{prefix}/events"

    def status(self, camera_id: str) -> str:
        return f"{self._prefix}/{segment(camera_id)}/status"

    def health(self, camera_id: str) -> str:
        return f"{self._prefix}/{segment(camera_id)}/health"

    def count(self, camera_id: str, class_name: str) -> str:
        return f"{self._prefix}/{segment(camera_id)}/{segment(class_name)}"


def status_word(health: CameraHealth) -> str:
    """A camera's health in one word."""
    if health.state is CameraState.LIVE:
        return INVALID_PICTURE if health.picture is not None else ONLINE
    return STALLED if health.state is CameraState.STALLED else OFFLINE
