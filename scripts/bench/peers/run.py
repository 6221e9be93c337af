"""How many cameras a peer carries on this machine, from the same server, clips and cores as the product.

Carried: every camera delivers at least 98 % of its frames over the measured seconds, so that its lag stays bounded.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.bench.cameras_machine import read, used
from scripts.bench.cameras_search import largest

ROOT = Path(__file__).parents[3]
SYSTEM_PYTHON = os.environ.get("FRAMEGATE_SYSTEM_PYTHON", "/usr/bin/python3")
"""The distribution's own: GStreamer's bindings belong to it."""
SHARE = 0.98
_START_S = 30.0
_STOP_S = 10.0
Tell = Callable[[str], None]
Try = dict[str, float]


@dataclass(frozen=True, slots=True)
class Peer:
    """One way of doing it that is not ours."""

    name: str
    command: Callable[[], tuple[Sequence[str], str]]
    """(what to run, why it cannot be run here; empty if it can)."""
    guess: int
    most: int


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", f"scripts.bench.peers.{name}"]


def _cv2() -> tuple[Sequence[str], str]:
    return _module("cv2_reader"), ""


def _ffmpeg() -> tuple[Sequence[str], str]:
    return _module("ffmpeg_pipe"), "" if shutil.which("ffmpeg") else "no ffmpeg: apt-get install ffmpeg"


def _gstreamer() -> tuple[Sequence[str], str]:
    look = "import gi; gi.require_version('Gst', '1.0'); from gi.repository import Gst; Gst.init(None); "
    look += "raise SystemExit(Gst.ElementFactory.find('avdec_h264') is None)"
    there = subprocess.run([SYSTEM_PYTHON, "-c", look], capture_output=True).returncode == 0
    command = [SYSTEM_PYTHON, str(ROOT / "scripts" / "bench" / "peers" / "gstreamer.py")]
    return command, "" if there else "no GStreamer with avdec_h264: apt-get install python3-gi gstreamer1.0-libav"


PEERS = (Peer("cv2", _cv2, 7, 32), Peer("ffmpeg_pipe", _ffmpeg, 6, 32), Peer("gstreamer", _gstreamer, 16, 64))


def carried(peer: Peer, urls: Sequence[str], server: int, fps: float, tell: Tell) -> dict[str, Any]:
    """The most cameras this peer carries, with what it used then; or why it was skipped. Blocks for minutes."""
    command, missing = peer.command()
    if missing:
        return {"carried": None, "skipped": missing}
    tries: dict[int, Try] = {}

    def fits(n: int) -> bool:
        tries[n] = attempt([*command, *urls[:n]], server, fps)
        tell(f"{peer.name}: {n} cameras, worst {tries[n]['worst_share']:.0%} of {fps:g} fps")
        return tries[n]["worst_share"] >= SHARE

    most = largest(fits, 1, min(peer.most, len(urls)), min(peer.guess, len(urls)))
    return {"carried": most, "tries": {str(n): tries[n] for n in sorted(tries)}}


def attempt(command: Sequence[str], server: int, fps: float, settle_s: float = 8.0, measure_s: float = 14.0) -> Try:
    """Run it for a while: the worst camera's share of its frames, and what the machine did.

    It settles from the moment every camera has given a frame; one that gives none for `_START_S` has a share of 0.
    """
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    lines = _Lines(process)
    try:
        lines.wait(_START_S, lambda line: min(line["frames"]) > 0)
        lines.wait(settle_s)
        first, begun = read({"server": [server]}), len(lines.got)
        lines.wait(measure_s)
        last = read({"server": [server]})
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        lines.close()
    spent = used(first, last)
    return {
        "worst_share": round(worst_share(lines.got[max(0, begun - 1) :], fps), 4),
        "headroom": round(spent.headroom, 3),
        "server_cpu": round(spent.cores["server"], 3),
    }


class _Lines:
    """What a peer has printed so far, read by a thread of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.got: list[dict[str, Any]] = []
        self._process = process
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait(self, seconds: float, wanted: Callable[[dict[str, Any]], bool] = lambda line: False) -> None:
        """Until a line is as wanted, or the time is over. Raises RuntimeError where the peer has ended by itself."""
        seen = len(self.got)
        with self._news:
            self._news.wait_for(lambda: self._ended or any(map(wanted, self.got[seen:])), seconds)
        if self._ended:
            raise RuntimeError(f"the peer ended by itself with {self._process.wait()}")

    def close(self) -> None:
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            with self._news:
                self.got.append(json.loads(line))
                self._news.notify()
        with self._news:
            self._ended = True
            self._news.notify()


def worst_share(lines: Sequence[dict[str, Any]], fps: float) -> float:
    """Of the frames that were due between the first and the last line, by the camera with the fewest. Pure."""
    if len(lines) < 2:
        return 0.0
    seconds = (lines[-1]["at_ns"] - lines[0]["at_ns"]) / 1e9
    got = [b - a for a, b in zip(lines[0]["frames"], lines[-1]["frames"], strict=True)]
    return float(min(got, default=0) / (seconds * fps))
