"""A server of the Open Inference Protocol over a toy engine, and requests that fit it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.color import affine
from pipelines.contracts import Engine
from pipelines.errors import ModelError
from pipelines.values import F32, ColorMatrix, ColorRange
from pipelines.worker.loop import WorkerLoop
from pipelines.worker.options import BatchOptions
from pipelines.worker.serve.host import OwnHost
from pipelines.worker.serve.options import ServeOptions
from pipelines.worker.serve.server import InferenceServer
from pipelines.worker.serve.tensor import InferRequest, InputTensor
from tests.fakes.lane import CARD, ToyEngine

PLANES_SHAPE = (CARD.input_h * 3 // 2, CARD.input_w)


@dataclass(frozen=True, slots=True)
class Running:
    """A server at work. `further` are the engines that clients had loaded."""

    server: InferenceServer
    loop: WorkerLoop
    engine: ToyEngine
    further: list[ToyEngine]


@asynccontextmanager
async def serving(
    options: dict[str, object] | None = None,
    batch: BatchOptions | None = None,
    shm: Path = Path("/nowhere"),
    told: Callable[[str, str], None] = lambda state, text: None,
) -> AsyncIterator[Running]:
    """Serve CARD as the worker's own model, and `second` on demand."""
    batch = batch or BatchOptions(max_batch=4)
    engine, further = ToyEngine(), list[ToyEngine]()

    def load(reference: str) -> Engine:
        if reference != "second.onnx":
            raise ModelError(f"{reference}: no such model")
        further.append(ToyEngine())
        return further[-1]

    made = {"grpc": {"port": 0}, "models": {"second": "second.onnx", "broken": "broken.onnx"}} | (options or {})
    loop = WorkerLoop(engine, batch)
    own = OwnHost(lambda: CARD, min(engine.max_batch, batch.max_batch), loop.collect)
    server = InferenceServer(ServeOptions.model_validate(made), own, load, batch, "0", told, shm)
    tasks = [asyncio.create_task(loop.run()), asyncio.create_task(server.run())]
    wires = [wire for wire in (server.rpc, server.rest) if wire is not None]
    try:
        await until(lambda: all(wire.port for wire in wires))
        yield Running(server, loop, engine, further)
    finally:
        engine.close()
        for task in reversed(tasks):
            task.cancel()
            await asyncio.wait({task})
        loop.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def planes(count: int = 1) -> bytes:
    return bytes(count * CARD.payload_bytes)


def colors(count: int = 1, matrix: ColorMatrix = ColorMatrix.BT709) -> F32:
    return np.stack([affine(CARD, ColorRange.LIMITED, matrix)] * count)


def inputs(count: int = 1) -> list[InputTensor]:
    return [
        InputTensor("planes", "UINT8", (count, *PLANES_SHAPE), planes(count)),
        InputTensor("color", "FP32", (count, 3, 4), colors(count).tobytes()),
    ]


def request(count: int = 1, model: str = CARD.name, **more: object) -> InferRequest:
    return InferRequest(model, "", "7", inputs(count), **more)  # type: ignore[arg-type]
