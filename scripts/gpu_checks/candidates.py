"""The engines that may be here, and for those that are not, why."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from pipelines.errors import ModelError
from pipelines.worker.engines.device_engine import DeviceEngine, RunOptions
from scripts.gpu_checks.subject import Candidate, Settings

NAMES = ("tensorrt", "tensorrt-rtx", "torch", "torch-half")
"""On a GPU. `onnx-cuda` is checked apart: its tensors are onnxruntime's, not ours."""


def by_name(name: str, settings: Settings) -> Candidate:
    """One engine, not opened yet; opening raises ModelError where it cannot be had."""
    makers: dict[str, Callable[[Settings], Candidate]] = {
        "tensorrt": lambda s: _tensorrt(s, "tensorrt", name),
        "tensorrt-rtx": lambda s: _tensorrt(s, "rtx", name),
        "torch": lambda s: _torch(s, name, half=False),
        "torch-half": lambda s: _torch(s, name, half=True),
        "fake": _fake,
    }
    return makers[name](settings)


def _tensorrt(settings: Settings, flavour: str, name: str) -> Candidate:
    def opened(contexts: int, graphs: bool) -> DeviceEngine:
        from pipelines.worker.engines.tensorrt import open_engine
        from pipelines.worker.engines.tensorrt_options import TensorrtOptions

        options = TensorrtOptions.model_validate(
            {"flavour": flavour, "contexts": contexts, "graphs": graphs, "max_batch": settings.max_batch}
        )
        return open_engine(settings.model, options, settings.max_batch)

    return Candidate(name, opened)


def _torch(settings: Settings, name: str, half: bool) -> Candidate:
    def opened(contexts: int, graphs: bool) -> DeviceEngine:
        if find_spec("torch") is None:
            raise ModelError("torch is not installed here")
        from pipelines.worker.engines.device_open import open_device
        from scripts.gpu_checks.torch_program import TorchProgram

        device = open_device()
        program = TorchProgram(settings.model, half=half, graphs=graphs)
        return DeviceEngine(program, device, program.card, RunOptions(settings.max_batch, contexts, graphs))

    return Candidate(name, opened, half)


def _fake(settings: Settings) -> Candidate:
    def opened(contexts: int, graphs: bool) -> DeviceEngine:
        from pipelines.worker.engines.device_fake import FakeDevice
        from pipelines.worker.engines.device_fake_program import FakeProgram

        device = FakeDevice()
        program = FakeProgram(settings.model, device)
        return DeviceEngine(program, device, program.card, RunOptions(settings.max_batch, contexts, graphs))

    return Candidate("fake", opened)
