"""What this machine is: device, driver, libraries. Nothing here fails; what is missing is said."""

from __future__ import annotations

import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from pipelines.errors import FramegateError
from pipelines.worker.engines.tensorrt_library import Flavour, find, named_capabilities
from scripts.gpu_checks.subject import Figures

_PACKAGES = ("numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "cuda-bindings", "pycuda", "torch", "tensorrt")


def describe() -> Figures:
    """Facts for the report."""
    libraries: Figures = {}
    flavours: tuple[Flavour, ...] = ("tensorrt", "rtx")
    for flavour in flavours:
        library = find(flavour)
        libraries[flavour] = (
            None if library is None else {"version": library.version, "builds_for": named_capabilities(library)}
        )
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "packages": {name: _version(name) for name in _PACKAGES if _version(name)},
        "tensorrt": libraries,
        "device": _device(),
        "nvidia_smi": _smi(),
    }


def rate_tflop_s(half: bool) -> float | None:
    """What a large matrix product reaches here: the compute floor's measure. None without torch and a device."""
    if find_spec("torch") is None:
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    side, kind = 8192, torch.float16 if half else torch.float32
    torch.backends.cuda.matmul.allow_tf32 = False
    left, right = (torch.randn(side, side, device="cuda", dtype=kind) for _ in range(2))
    times: list[float] = []
    for _ in range(6):
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        before.record()
        torch.matmul(left, right)
        after.record()
        torch.cuda.synchronize()
        times.append(before.elapsed_time(after))
    return round(2 * side**3 / sorted(times[1:])[2] / 1e9, 1)


def _device() -> Figures:
    from pipelines.worker.engines.device_open import open_device

    try:
        device = open_device()
    except FramegateError as error:
        return {"none": str(error)}
    info = device.info
    device.close()
    return {
        "name": info.name,
        "capability": info.capability,
        "driver": info.driver,
        "total_bytes": info.total_bytes,
        "backend": info.backend,
    }


def _smi() -> str:
    if shutil.which("nvidia-smi") is None:
        return "not here"
    done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    return (done.stdout or done.stderr).strip()[:400]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
