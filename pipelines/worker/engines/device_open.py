"""Which device is here: the one place that chooses."""

from __future__ import annotations

from pipelines.errors import ModelError
from pipelines.worker.engines.device import Device


def open_device() -> Device:
    """The first CUDA device, by pycuda where it is installed, else by cuda-bindings.

    Raises:
        ModelError: there is none; says what each of them says.
    """
    reasons = []
    for opener in (_pycuda, _bindings):
        try:
            return opener()
        except ModelError as error:
            reasons.append(str(error))
        except ImportError as error:
            reasons.append(f"no CUDA device: {error}")
    raise ModelError("; ".join(dict.fromkeys(reasons)))


def best_engine(flavour: str) -> str:
    """The best engine that can run here: "tensorrt", "onnx-cuda" or "onnx". `flavour`: as in TensorrtOptions."""
    try:
        open_device().close()
    except ModelError:
        return "onnx"
    from pipelines.worker.engines.tensorrt_library import find

    if find(None if flavour == "any" else flavour) is not None:  # type: ignore[arg-type]
        return "tensorrt"
    import onnxruntime

    return "onnx-cuda" if "CUDAExecutionProvider" in onnxruntime.get_available_providers() else "onnx"


def _pycuda() -> Device:
    from pipelines.worker.engines.device_pycuda import PycudaDevice

    return PycudaDevice()


def _bindings() -> Device:
    from pipelines.worker.engines.device_cuda import CudaDevice

    return CudaDevice()
