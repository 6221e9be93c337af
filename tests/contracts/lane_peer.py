"""The other end of a lane as a process of its own, to be killed.

python -m tests.contracts.lane_peer echo PATH   a worker that answers each task at once, rows filled with its number
python -m tests.contracts.lane_peer hold PATH   a worker that takes one task, says so, and answers when told to
python -m tests.contracts.lane_peer dpu PATH    a DPU process that publishes without end
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from pathlib import Path

import numpy as np

from pipelines.contracts import SlotWriter
from pipelines.transport.options import LaneOptions
from pipelines.transport.reader import LaneReader
from pipelines.transport.shm import ShmLink, ShmServer
from pipelines.values import AnswerCode, Priority
from tests.contracts.lane import Recorder
from tests.unit.transport.values import CARD, header

OPTIONS = LaneOptions(
    slots=8,
    reserved_high=0,
    reserved_normal=0,
    ping_interval_s=0.05,
    ping_timeout_s=0.4,
    attach_timeout_s=0.5,
    connect_backoff_s=0.005,
    connect_backoff_max_s=0.02,
)


def say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def echo(lane: LaneReader) -> None:
    """Answer all that waits; a payload that is not what its header says is answered BAD_INPUT."""
    while (taken := lane.take()) is not None:
        task = taken.header.task
        good = (taken.payload == task % 251).all()
        code = AnswerCode.OK if good else AnswerCode.BAD_INPUT
        lane.answer(taken, code, np.full((2, 6), task, np.float32), 1, 2)


def hold(lane: LaneReader) -> None:
    """Blocks the whole process on purpose, so that it cannot notice what happens meanwhile."""
    taken = lane.take()
    assert taken
    say("taken")
    sys.stdin.readline()
    lane.answer(taken, AnswerCode.OK, np.full((4, 6), 666, np.float32), 1, 2)
    # Notices go out at the end of this turn of the loop; what comes of that is known after it.
    asyncio.get_running_loop().call_soon(lambda: say(f"answered, lane {lane.end_reason or 'alive'}"))


def pump(writer: SlotWriter) -> None:
    task = 0
    while True:
        slot = writer.loan(Priority.NORMAL)
        if slot is None:
            time.sleep(0)
            continue
        slot.payload[:] = task % 251
        writer.publish(slot, header(task))
        task += 1


class Dpu(Recorder):
    def attached(self, writer: SlotWriter) -> None:
        threading.Thread(target=pump, args=(writer,), daemon=True, name="pump").start()


def main() -> None:
    role, path = sys.argv[1], Path(sys.argv[2])
    if role == "dpu":
        asyncio.run(ShmLink(path, OPTIONS, Dpu()).run())
    else:
        asyncio.run(ShmServer(path, CARD, OPTIONS, {"echo": echo, "hold": hold}[role]).run())


if __name__ == "__main__":
    main()
