"""Build a plan in a child process: watched for memory and time, with progress, and whole or not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from pipelines.errors import ModelError
from pipelines.worker.engines import tensorrt_child

Progress = Callable[[str], None]
_WATCH_S = 0.1
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def child_command() -> list[str]:
    """What builds: a Python of ours. Its warnings are the library's and would only fill the pipe."""
    return [sys.executable, "-W", "ignore", "-m", "pipelines.worker.engines.tensorrt_child"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the building process may take."""

    memory_mib: int
    timeout_s: float


def build(
    order: tensorrt_child.Order, limits: Limits, progress: Progress = lambda _: None, command: Sequence[str] = ()
) -> None:
    """Run the child until it ends. Blocks; `progress` is called in this thread with the name of each phase.

    Its resident memory is watched, not its address space: a CUDA process reserves far more addresses than memory.

    Raises:
        ModelError: with the child's reason, or what it was stopped for. The target is not there then.
    """
    target = Path(order.target)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    with tempfile.TemporaryFile("w+") as words:  # not a pipe: one that nobody reads would block the child
        reason = _run(command or child_command(), replace(order, target=str(part)), words, progress, limits)
    if reason:
        part.unlink(missing_ok=True)
        raise ModelError(f"{order.model}: no plan for {order.key.capability}: {reason}")
    part.replace(target)


def _run(
    command: Sequence[str], order: tensorrt_child.Order, words: IO[str], progress: Progress, limits: Limits
) -> str:
    """One child, from its start to its end. Returns why it failed; empty if it did not."""
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words, text=True, env=_environment()
    )
    watch = _Watch(child, limits)
    try:
        with child:
            outcome = _converse(child, tensorrt_child.order_json(order), progress)
    finally:
        child.kill()
        watch.join()
    if watch.reason or "built" in outcome:
        return watch.reason
    words.seek(0)
    return outcome.get("error") or f"exit {child.returncode}: {words.read().strip()[-400:]}"


def _converse(child: subprocess.Popen[str], order: str, progress: Progress) -> dict[str, str]:
    """Order, then listen to the end. A child that dies says nothing more."""
    outcome: dict[str, str] = {}
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(order + "\n")
        child.stdin.close()
    except BrokenPipeError:
        return outcome
    for line in child.stdout:
        try:
            said = json.loads(line)
        except ValueError:  # the library's own words
            continue
        if "progress" in said:
            progress(f"{said['progress']} ({said['steps']} steps)")
        else:
            outcome = said
    return outcome


def _environment() -> dict[str, str]:
    """The child finds our packages where we found them."""
    root = str(Path(__file__).parents[3])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}


class _Watch:
    """Ends a child that takes too much memory or time. A thread of its own: the reader is blocked on the pipe."""

    def __init__(self, child: subprocess.Popen[str], limits: Limits) -> None:
        self.reason = ""
        self._child, self._limits = child, limits
        self._until = time.monotonic() + limits.timeout_s
        self._thread = threading.Thread(target=self._run, name="tensorrt-build", daemon=True)
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        while not self.reason:
            try:
                self._child.wait(_WATCH_S)
                return
            except subprocess.TimeoutExpired:
                self.reason = self._judge()
        self._child.kill()

    def _judge(self) -> str:
        used_mib = _resident_mib(self._child.pid)
        if used_mib > self._limits.memory_mib:
            return f"stopped: building took {used_mib} MiB, and {self._limits.memory_mib} MiB are allowed"
        if time.monotonic() > self._until:
            return f"stopped: building took longer than {self._limits.timeout_s:g} s"
        return ""


def _resident_mib(pid: int) -> int:
    """proc(5); 0 when it has just ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES >> 20
    except (OSError, IndexError):
        return 0
