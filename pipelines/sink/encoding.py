"""What a sink needs to know of the wire form: three functions to bytes. The forms live in event/payload.py."""

from __future__ import annotations

from typing import Protocol

from pipelines.values import Alert, CameraHealth, FrameResult


class Encoder(Protocol):
    """Turns records into bytes. Called in the event loop, once per record, when the record is offered."""

    def alert(self, alert: Alert, /) -> bytes: ...

    def result(self, result: FrameResult, /) -> bytes: ...

    def health(self, health: CameraHealth, /) -> bytes: ...
