"""A worker install has neither PyAV nor OpenCV, a DPU install no `onnx`: nothing may ask for what is not there."""

from __future__ import annotations

import subprocess
import sys

import pytest

_BLOCK = """
import importlib.abc, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"{{name}} is not in this install")

sys.meta_path.insert(0, Refuse())
import {module}
"""


@pytest.mark.parametrize(
    ("module", "blocked"),
    [
        ("app.gpu", {"av", "cv2", "aiohttp", "aiokafka", "aiomqtt", "grpc", "google", "prometheus_client", "rich"}),
        ("app.service", {"onnx", "tensorrt", "pycuda", "rich", "aiokafka", "aiomqtt", "grpc", "google"}),
        ("app.cli", {"av", "cv2", "onnx", "onnxruntime", "aiohttp", "rich", "structlog"}),
    ],
)
def test_a_process_imports_only_what_its_install_has(module: str, blocked: set[str]) -> None:
    code = _BLOCK.format(blocked=sorted(blocked), module=module)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
