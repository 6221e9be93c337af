"""The folded model in torch, node by node: for a GPU machine that has torch and no TensorRT.

A small reader of the operators that folded detectors use; any other is refused by name. Tensors are views of the
engine's own device memory. torch's allocator does not like to be captured from outside, so each batch size has a graph
of torch's own, and the engine launches plainly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from pipelines.card import METADATA_KEY, from_json
from pipelines.errors import EngineError, ModelError
from pipelines.worker.engines.device import Buffers, OutOfDeviceMemory, Stream
from pipelines.worker.engines.folded import COLOR, DETECTIONS, PLANES
from scripts.gpu_checks.torch_nodes import NODES

_HALF_KINDS = ("Conv", "MatMul", "Gemm")


class TorchProgram:
    """Implements device.Program."""

    def __init__(self, path: Path, half: bool, graphs: bool, device: str = "cuda") -> None:
        """Read the model. `half`: convolutions and products in float16, the rest as the file says.

        Raises:
            ModelError: an operator that is not known here.
        """
        model = onnx.load(str(path))
        self.card = from_json(next(p.value for p in model.metadata_props if p.key == METADATA_KEY))
        unknown = sorted({n.op_type for n in model.graph.node} - NODES.keys())
        if unknown:
            raise ModelError(f"{path}: torch's reader here does not know {', '.join(unknown)}")
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True
        self._nodes = list(model.graph.node)
        self._constants: dict[str, Any] = {}
        self.half, self.graphs, self.device = half, graphs, device
        for tensor in model.graph.initializer:
            value = numpy_helper.to_array(tensor)
            # Shapes and bounds stay on the host: they are read as numbers.
            self._constants[tensor.name] = (
                torch.from_numpy(value.copy()).to(device) if value.dtype.kind == "f" else torch.from_numpy(value.copy())
            )

    @property
    def title(self) -> str:
        return f"torch {torch.__version__} {'float16' if self.half else 'float32'}"

    @property
    def capturable(self) -> bool:
        return False

    def context(self, buffers: Buffers, stream: Stream) -> TorchContext:
        return TorchContext(self, buffers, stream)

    def run(self, planes: Any, color: Any) -> Any:
        """One batch, (b, top_k, 6)."""
        values = {**self._constants, PLANES: planes, COLOR: color, "": None}
        for node in self._nodes:
            inputs = [values[name] for name in node.input]
            if self.half and node.op_type in _HALF_KINDS:
                inputs = [None if value is None else value.half() for value in inputs]
            outputs = NODES[node.op_type](node, inputs)
            if self.half and node.op_type in _HALF_KINDS:
                outputs = [value.float() for value in outputs]
            values.update(zip(node.output, outputs, strict=False))
        return values[DETECTIONS]

    def close(self) -> None:
        self._constants = {}
        if self.device == "cuda":
            torch.cuda.empty_cache()


class TorchContext:
    """Implements device.Context."""

    def __init__(self, program: TorchProgram, buffers: Buffers, stream: Stream) -> None:
        self._program, self._buffers = program, buffers
        self._stream = torch.cuda.ExternalStream(stream.handle)
        self._graphs: dict[int, tuple[Any, Any]] = {}

    def enqueue(self, batch: int) -> None:
        try:
            with torch.no_grad(), torch.cuda.stream(self._stream):
                if batch in self._graphs:
                    self._graphs[batch][0].replay()
                    return
                self._run(batch)
                if self._program.graphs:
                    self._stream.synchronize()
                    self._capture(batch)
        except torch.cuda.OutOfMemoryError as error:
            raise OutOfDeviceMemory(str(error)) from error
        except RuntimeError as error:
            raise EngineError(str(error).split("\n", 1)[0]) from error

    def close(self) -> None:
        self._graphs = {}

    def _run(self, batch: int) -> tuple[Any, ...]:
        card = self._program.card
        planes = view(self._buffers.planes, (batch, card.input_h * 3 // 2, card.input_w), "|u1")
        color = view(self._buffers.color, (batch, 3, 4), "<f4")
        rows = view(self._buffers.detections, (batch, card.top_k, 6), "<f4")
        rows.copy_(self._program.run(planes, color))
        return planes, color, rows

    def _capture(self, batch: int) -> None:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            kept = self._run(batch)
        self._graphs[batch] = graph, kept
        graph.replay()


class _Interface:
    """What torch asks of foreign device memory (CUDA array interface, version 3)."""

    def __init__(self, address: int, shape: tuple[int, ...], kind: str) -> None:
        self.__cuda_array_interface__ = {"data": (address, False), "shape": shape, "typestr": kind, "version": 3}


def view(address: int, shape: tuple[int, ...], kind: str) -> Any:
    """Device memory as a tensor, not copied."""
    assert np.dtype(kind).itemsize in (1, 4)
    return torch.as_tensor(_Interface(address, shape, kind), device="cuda")
