"""One JSON object per line, and no password in any of them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from app.observe.log import configure, get_logger
from app.observe.options import LogOptions

CANARY = "rtsp://joe:c4nary@10.0.0.1/live"


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_is_an_object_with_its_fields() -> None:
    out = io.StringIO()
    configure(LogOptions(), out)

    get_logger("camera").bind(camera="door").info("camera.state", state="live", decoded=3)

    (line,) = lines(out)
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "camera.state", "camera": "door", "state": "live", "decoded": 3,
        "level": "info", "logger": "framegate.camera",
    }  # fmt: skip


def test_credentials_never_get_out() -> None:
    out = io.StringIO()
    configure(LogOptions(level="debug"), out)
    log = get_logger("x")

    log.info(f"event {CANARY}", url=CANARY, nested={"list": [CANARY, (CANARY,)]}, error=ValueError(CANARY))
    try:
        raise RuntimeError(CANARY)
    except RuntimeError:
        log.exception("failed")
    logging.getLogger("some.library").warning("cannot reach %s", CANARY)

    assert len(lines(out)) == 3
    assert "c4nary" not in out.getvalue()
    assert "10.0.0.1" in out.getvalue()


def test_levels_hold_for_us_and_warnings_for_libraries() -> None:
    out = io.StringIO()
    configure(LogOptions(level="warning"), out)

    get_logger("x").info("no")
    get_logger("x").warning("yes")
    logging.getLogger("aiohttp").info("no")
    logging.getLogger("aiohttp").error("library")

    assert [line["event"] for line in lines(out)] == ["yes", "library"]


def test_text_for_people() -> None:
    out = io.StringIO()
    configure(LogOptions(format="text"), out)

    get_logger("x").info("camera.state", url=CANARY)

    assert "camera.state" in out.getvalue()
    assert "c4nary" not in out.getvalue()
