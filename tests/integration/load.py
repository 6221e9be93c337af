"""Cameras that keep a pipe busy: gates open, so that every frame that is due becomes a task."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from app.dpu import Dpu
from pipelines.values import Cause, Outcome
from tests.integration.pipe import Config, balanced, until

LONG = os.environ.get("FRAMEGATE_LONG") == "1"
"""Run faults as long as the acceptance asks for, not as long as a suite can wait."""
OPEN: Config = {
    "gate": {"enabled": False},
    "motion": {"enabled": False},
    "presence": {"enabled": False},
    "validity": {"enabled": False},
}
NULL_WORKER: Config = {"engine": "null", "threads": 1}


def looped(clip: Path, count: int, **options: Any) -> Config:
    """`count` file cameras that play one clip as live, out of phase and without end."""
    return {
        f"file{n}": OPEN
        | {"url": str(clip), "file": {"paced": True, "loop": True, "start_offset_s": n * 0.4}}
        | options
        for n in range(count)
    }


def outcomes(dpu: Dpu, outcome: Outcome) -> int:
    """Over all cameras."""
    return sum(ledger.outcomes.get(outcome, 0) for ledger in dpu.cameras.ledgers().values())


def caused(dpu: Dpu, outcome: Outcome, cause: Cause) -> int:
    """Over all cameras."""
    return sum(ledger.causes.get((outcome, cause), 0) for ledger in dpu.cameras.ledgers().values())


async def more_inferred(dpu: Dpu, count: int, timeout_s: float = 30) -> None:
    """Wait until `count` more frames were answered; at every look every account balances."""
    goal = outcomes(dpu, Outcome.INFERRED) + count

    def reached() -> bool:
        assert balanced(dpu)
        return outcomes(dpu, Outcome.INFERRED) >= goal

    await until(reached, timeout_s, f"{count} more inferred frames")


def process_is_gone(pid: int) -> bool:
    """No such process, or a zombie that its parent has yet to read."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
