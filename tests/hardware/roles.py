"""What a fork of the far host can be: a worker that echoes, holds or lies, a DPU process, a command."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import SecretStr

from pipelines.contracts import SlotWriter
from pipelines.transport import rdma_message, rdma_server
from pipelines.transport.options import LaneOptions
from pipelines.transport.rdma import HostMemory, RdmaLink, RdmaServer, device_verbs
from pipelines.transport.rdma_memory import address_of, allocate
from pipelines.transport.rdma_options import RdmaOptions
from pipelines.transport.rdma_verbs import Piece
from pipelines.transport.reader import NO_ROWS, LaneReader
from pipelines.values import AnswerCode, ModelCard, Priority
from tests.contracts.lane import Recorder
from tests.unit.transport.values import CARD, header

PORT = 7471
SECRET = "correct horse battery"
FRAME = ModelCard("frame", "null", 640, 640, ("person",), top_k=100)
"""614,400 bytes a payload."""
OPTIONS = LaneOptions(
    slots=8,
    reserved_high=0,
    reserved_normal=0,
    ping_interval_s=0.2,
    ping_timeout_s=6.0,
    attach_timeout_s=5.0,
    connect_backoff_s=0.05,
    connect_backoff_max_s=0.2,
)
MARK = b"LATE"


def rdma(host: str, secret: str = SECRET) -> RdmaOptions:
    # Eight times 0.54 s without an acknowledgement: longer than a guest on a busy machine is ever away.
    return RdmaOptions(address=f"{host}:{PORT}", secret=SecretStr(secret), ack_timeout_ms=536)


def server(
    host: str, readable: Callable[[LaneReader], None], card: ModelCard = CARD, secret: str = SECRET
) -> RdmaServer:
    options = rdma(host, secret)
    return RdmaServer(options, card, OPTIONS, readable, device_verbs(options), HostMemory)


def link(host: str, events: Recorder, secret: str = SECRET) -> RdmaLink:
    options = rdma(host, secret)
    return RdmaLink(options, OPTIONS, events, device_verbs(options))


def echo_all(lane: LaneReader) -> None:
    """Answer all that waits; a payload that is not what its header says is answered BAD_INPUT."""
    while (taken := lane.take()) is not None:
        task = taken.header.task
        good = (taken.payload == task % 251).all()
        code = AnswerCode.OK if good else AnswerCode.BAD_INPUT
        lane.answer(taken, code, np.full((2, 6), task, np.float32), 1, 2)


def echo(host: str, secret: str = SECRET) -> None:
    asyncio.run(server(host, echo_all, secret=secret).run())


def hold(host: str) -> None:
    """Takes, lives, answers nothing."""
    asyncio.run(server(host, lambda lane: None).run())


def swallow(host: str, small: bool = False) -> None:
    """Answers frames of full size (or small ones) at once, without a look at them."""

    def serve(lane: LaneReader) -> None:
        while (taken := lane.take()) is not None:
            lane.answer(taken, AnswerCode.OK, NO_ROWS, 0, 0)

    asyncio.run(server(host, serve, CARD if small else FRAME).run())


def other_layout(host: str) -> None:
    """Another version of the slot header."""

    def decode(data: bytes) -> rdma_message.RdmaAttach:
        return dataclasses.replace(rdma_message.decode_attach(data), header_version=7)

    setattr(rdma_server, "decode_attach", decode)  # noqa: B010
    echo(host)


def late(host: str) -> None:
    """In its second lane writes to where the first one's answers went; in its third, to where that one's go."""
    mark = allocate(4096)
    mark[: len(MARK)] = MARK
    asked: list[rdma_message.RdmaAttach] = []

    def decode(data: bytes) -> rdma_message.RdmaAttach:
        asked.append(rdma_message.decode_attach(data))
        return asked[-1]

    setattr(rdma_server, "decode_attach", decode)  # noqa: B010

    def write(lane: LaneReader) -> None:
        while lane.take() is not None:
            number = len(asked)
            answers = asked[0].answers if number == 2 else asked[-1].answers
            pair = running._sessions[-1]._pair
            local = pair.register(address_of(mark), len(mark), remote_write=False)
            piece = Piece(local.address, local.key, len(MARK), answers.address, answers.key)
            sys.stdout.write(f"lane {number}; the one before: {running.statistics().reason}\n")
            sys.stdout.flush()
            if number > 1:
                pair.prepare(0, [piece])
                pair.post(0, len(MARK), 0)

    running = server(host, write)
    asyncio.run(running.run())


def dpu(host: str) -> None:
    """Publishes without end."""

    class Events(Recorder):
        def attached(self, writer: SlotWriter) -> None:
            threading.Thread(target=_pump, args=(writer,), daemon=True, name="pump").start()

    asyncio.run(link(host, Events()).run())


def _pump(writer: SlotWriter) -> None:
    task = 0
    while True:
        slot = writer.loan(Priority.NORMAL)
        if slot is None:
            time.sleep(0.001)
            continue
        slot.payload[:] = task % 251
        writer.publish(slot, header(task))
        task += 1


def run(argv: list[str]) -> None:
    """Another program."""
    os.execvp(argv[0], argv)


def framegate(argv: list[str]) -> None:
    """The product's own command."""
    from app.cli import main

    raise SystemExit(main(argv))


def pipe(config: str, out: str) -> None:
    """A DPU process on a configuration of files, to their end; each frame's detections go to `out`, bit for bit."""
    from app.config.deployment import load
    from app.dpu import Dpu
    from app.measure import Measure
    from app.observe.log import get_logger
    from app.observe.report import build_report
    from pipelines.sink.memory import MemoryOptions, MemorySink

    memory = MemorySink(MemoryOptions(results=10_000, alerts=10_000))
    measure = Measure(get_logger("pipe"))
    process = Dpu(load(Path(config), {}), measure, extra_sinks=[memory], stop_when_ended=True)
    asyncio.run(process.run())
    frames = [
        [one.sequence, *(part.tobytes().hex() for part in (one.detections.xyxy, one.detections.scores))]
        for one in memory.results
    ]
    Path(out).write_text(json.dumps({"frames": frames, "report": build_report(process.observe())}))


def preload() -> None:
    """What forks will need, once for all of them."""
    import app.cli
    import app.dpu
    import app.gpu
    import pipelines.model.catalog
    import pipelines.source.file
    import pipelines.transport.rdma_pyverbs
    import pipelines.worker.engines.onnx

    del app, pipelines


def registered() -> int:
    """Memory regions that the RDMA devices of this host have, as the kernel counts them."""
    text = subprocess.run(["rdma", "resource", "show"], capture_output=True, check=True, text=True).stdout
    return sum(int(count) for count in re.findall(r"\bmr (\d+)", text))


ROLES: dict[str, Callable[..., Any]] = {
    one.__name__: one for one in (echo, hold, swallow, other_layout, late, dpu, run, framegate, pipe)
}
