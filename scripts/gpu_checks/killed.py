"""A worker that is killed in mid-batch leaves nothing behind: the next one gets the device and all of its memory."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from scripts.gpu_checks.subject import Figures, Subject, colors, pictures

_ROOT = Path(__file__).parents[2]
_GONE_S = 10.0
_SLACK_BYTES = 64 << 20


def check(subject: Subject, arguments: list[str]) -> Figures:
    """Start a victim, kill it while it computes, look at the memory, and run a batch. `arguments`: for the victim."""
    command = [sys.executable, "-m", "scripts.gpu_checks.victim", *arguments]
    before = _free(subject)
    victim = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert victim.stdout is not None
        with victim:
            first = victim.stdout.readline().strip()
            victim.stdout.readline()  # another batch has begun
            held = before - _free(subject)
            victim.kill()
    finally:
        victim.kill()
    returned_ms = _returned(subject, before)
    rows = subject.engine.infer([pictures(subject.card, 1)[0]], colors(subject.card, 1))
    return {
        "ok": first == "running"
        and victim.returncode == -signal.SIGKILL
        and returned_ms is not None
        and bool(np.isfinite(rows).all()),
        "victim": first,
        "held_mib": round(held / (1 << 20), 1),
        "memory_back_ms": returned_ms,
        "next_batch": "ran",
    }


def _free(subject: Subject) -> int:
    with subject.device.active():
        return subject.device.free_bytes()


def _returned(subject: Subject, before: int) -> float | None:
    """How long until the device has as much memory as before, ms; None: not within ten seconds."""
    started = time.monotonic()
    while time.monotonic() - started < _GONE_S:
        if _free(subject) >= before - _SLACK_BYTES:
            return round((time.monotonic() - started) * 1e3, 1)
        time.sleep(0.02)
    return None
