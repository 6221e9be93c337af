"""What every peer of the capacity bench does: count frames per camera, and tell the bench once a second.

A peer is a process of its own: `python -m scripts.bench.peers.NAME URL...`. It prints one line of JSON per second,
{"at_ns": monotonic ns, "frames": [frames of each camera so far]}, and ends on SIGTERM.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence


def report(counts: Callable[[], Sequence[int]], stop: threading.Event) -> None:
    """Tell once a second until stopped. Main thread."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(1.0):
        sys.stdout.write(json.dumps({"at_ns": time.monotonic_ns(), "frames": list(counts())}) + "\n")
        sys.stdout.flush()
