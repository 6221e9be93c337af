"""`framegate run`: one DPU process from a configuration file."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import cv2

from app.config.deployment import Config, load
from app.config.environment import environment
from app.config.worker import with_detector
from app.dpu import Dpu
from app.measure import Measure
from app.observe.log import configure, get_logger
from app.observe.notify import Notifier
from app.observe.report import build_report, write_report
from pipelines.errors import ConfigError

_SWITCH_S = 0.002
"""After which a thread in Python makes room: at Python's own 5 ms, cameras that are awake wait for those that sleep."""


def serve(path: Path, model: str | None, report: Path | None, seconds: float | None, exit_when_done: bool) -> int:
    """Run until stopped. Returns the exit code. `model` goes before the configuration's detector.

    Raises:
        ConfigError: all mistakes of the file, before anything starts; or a port is taken.
        ModelError: a model cannot be used.
    """
    if report is not None and not report.absolute().parent.is_dir():
        raise ConfigError(f"--report {report}: there is no such directory; make it, or name another")
    environ = environment()

    def read() -> Config:
        config = load(path, environ)
        return config if model is None else config.model_copy(update={"model": with_detector(config.model, model)})

    config = read()
    configure(config.log)
    _prepare_for_threads()
    return asyncio.run(_serve(config, read, report, seconds, exit_when_done))


def _prepare_for_threads() -> None:
    """Each camera has a thread, and that is all the parallelism there shall be."""
    cv2.setNumThreads(1)  # OpenCV's own pool spins for work that no picture of ours has enough of
    sys.setswitchinterval(_SWITCH_S)
    gc.freeze()  # a full collection holds all threads up: it need not look at the modules each time


async def _serve(
    config: Config, reload: Callable[[], Config], report: Path | None, seconds: float | None, exit_when_done: bool
) -> int:
    measure = Measure(get_logger("dpu"))
    dpu = Dpu(
        config,
        measure,
        reload=reload,
        stop_when_ended=exit_when_done,
        notifier=Notifier.from_environ(environment()),
    )

    def write() -> None:
        if report is not None:
            write_report(report, build_report(dpu.observe()))

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, write)  # without --report too: the signal's default is to kill
    if seconds is not None:
        loop.call_later(seconds, dpu.stop)
    try:
        await dpu.run()
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)
        write()
    return 0
