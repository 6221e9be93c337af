"""The middle part of a split model behind the product's lane: a worker process for tensors, and its other end.

One tensor goes up in a slot, described by the envelope's dtype and shape (pixel format NONE); one float32 tensor comes
back in the answer's rows of six, the last row padded. Run as a process: SOCKET MODEL.onnx
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import onnx

from pipelines.contracts import SlotWriter
from pipelines.errors import ModelError
from pipelines.model.graph import shape_of
from pipelines.model.runtime import Runner
from pipelines.model.split_shape import Array
from pipelines.transport.options import LaneOptions
from pipelines.transport.reader import LaneReader
from pipelines.transport.shm_server import ShmServer
from pipelines.values import (
    Answer,
    AnswerCode,
    ColorMatrix,
    ColorRange,
    Letterbox,
    ModelCard,
    PixelFormat,
    Priority,
    SlotHeader,
)

COLUMNS = 6


def edges(file: Path) -> tuple[str, tuple[int, ...], str, tuple[int, ...]]:
    """(input, its shape, output, its shape) of a part with one of each."""
    graph = onnx.load(str(file)).graph
    assert len(graph.input) == len(graph.output) == 1, "one slot carries one tensor"
    shapes = [tuple(side or 0 for side in shape_of(info)) for info in (graph.input[0], graph.output[0])]
    return graph.input[0].name, shapes[0], graph.output[0].name, shapes[1]


def card(file: Path) -> ModelCard:
    """A card whose slots hold the input and whose answers hold the output."""
    _, up, _, down = edges(file)
    width = -(-4 * int(np.prod(up)) // 3)
    return ModelCard("part", "tensor", width, 2, (), top_k=-(-int(np.prod(down)) // COLUMNS))


async def serve(socket: Path, file: Path) -> None:
    """Until cancelled."""
    runner = Runner(str(file), str(file))
    name, _, output, _ = edges(file)

    def readable(lane: LaneReader) -> None:
        while (taken := lane.take()) is not None:
            header = taken.header
            assert header.pixel_format is PixelFormat.NONE
            tensor = taken.payload.view(header.dtype).reshape(header.shape)
            flat = runner.run({name: tensor})[output].reshape(-1)
            rows = np.zeros((-(-len(flat) // COLUMNS), COLUMNS), np.float32)
            rows.reshape(-1)[: len(flat)] = flat
            lane.answer(taken, AnswerCode.OK, rows, 1, 2)

    await ShmServer(socket, card(file), LaneOptions(), readable).run()


class PartLink:
    """A split_chain.Part at the other end of a lane, and the lane's events. `run` in any thread but the loop's."""

    def __init__(self, file: Path) -> None:
        self._name, self._shape, self._output, self._output_shape = edges(file)
        self._writer: SlotWriter | None = None
        self._waiting: dict[int, Future[Answer]] = {}
        self.ready = asyncio.Event()
        self.tasks = 0

    def attached(self, writer: SlotWriter) -> None:
        self._writer = writer
        self.ready.set()

    def answered(self, answer: Answer) -> None:
        self._waiting.pop(answer.task).set_result(answer)

    def lost(self, tasks: Sequence[int], reason: str) -> None:
        for task in tasks:
            self._waiting.pop(task).set_exception(ModelError(reason))

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        tensor = feeds[self._name]
        assert self._writer is not None
        slot = self._writer.loan(Priority.NORMAL)
        assert slot is not None
        slot.payload[: tensor.nbytes] = tensor.reshape(-1).view(np.uint8)
        self.tasks += 1
        answer: Future[Answer] = Future()
        self._waiting[self.tasks] = answer
        assert self._writer.publish(slot, _envelope(self.tasks, tensor))
        rows = answer.result(timeout=30).rows
        return {self._output: rows.reshape(-1)[: int(np.prod(self._output_shape))].reshape(self._output_shape)}


def _envelope(task: int, tensor: Array) -> SlotHeader:
    return SlotHeader(
        task=task,
        camera="cam",
        model="part",
        arrival_ns=1,
        deadline_ns=1 << 62,
        priority=Priority.NORMAL,
        fit=Letterbox(2, 2, 2, 2, 0, 0, 2, 2),
        color_range=ColorRange.UNSPECIFIED,
        color_matrix=ColorMatrix.UNSPECIFIED,
        payload_bytes=tensor.nbytes,
        pixel_format=PixelFormat.NONE,
        dtype=str(tensor.dtype),
        shape=tensor.shape,
    )


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), Path(sys.argv[2])))
