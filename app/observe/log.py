"""The log: one JSON object per line on stderr, for changes of state, never per frame.

    log = get_logger("camera")
    log.info("camera_state", camera="door", state="live")

The event is a fixed word; what varies goes into fields. Records of libraries (`logging`) take the same way out, from
warnings on. URLs lose their credentials wherever they came from: a second net under the redaction at the source.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog

from app.observe.options import LogOptions
from pipelines.source.redact import redact

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_ours = "framegate"

Log = structlog.stdlib.BoundLogger
"""What `get_logger` gives: `info`, `warning`, `error`, `bind`, ..."""


def configure(options: LogOptions, stream: TextIO | None = None) -> None:
    """Set up the log of this process, once, before anything is logged.

    Args:
        stream: Where to write; None: stderr.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    last: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        redact_event,
        _renderer(options),
    ]
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=last, foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(_ours).setLevel(_LEVELS[options.level])
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a dozen lines a second while a broker is away
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def get_logger(name: str) -> Log:
    """The log of one part of the program; `name` is a single word."""
    return cast(Log, structlog.get_logger(f"{_ours}.{name}"))


def redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide credentials of URLs in every text of a record, in nested ones too."""
    return {key: _redacted(value) for key, value in event.items()}


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: _redacted(below) for key, below in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(below) for below in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value))


def _renderer(options: LogOptions) -> structlog.typing.Processor:
    if options.format == "text":
        return cast(structlog.typing.Processor, structlog.dev.ConsoleRenderer(colors=False))
    return structlog.processors.JSONRenderer(ensure_ascii=False)
