"""The building process is watched, and what it leaves is whole or not there. No TensorRT: the child is played."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipelines.errors import ModelError
from pipelines.worker.engines.tensorrt_build import Limits, build
from pipelines.worker.engines.tensorrt_child import Order
from pipelines.worker.engines.tensorrt_plan import Key, Profile

_WRITE = "import json, sys; o = json.loads(input()); open(o['target'], 'wb').write(b'plan'); "
_BUILT = """print('{"built": {}}')"""


def order(tmp_path: Path) -> Order:
    key = Key("ab" * 32, "rtx", "1", "8.9", "", Profile())
    return Order("model.onnx", str(tmp_path / "out.plan"), str(tmp_path / "timing"), key, 64, by_name=True)


def run(
    tmp_path: Path, code: str, memory_mib: int = 4096, timeout_s: float = 60.0, heard: list[str] | None = None
) -> None:
    told: list[str] = [] if heard is None else heard
    build(order(tmp_path), Limits(memory_mib, timeout_s), told.append, command=[sys.executable, "-S", "-c", code])


def test_progress_is_heard_and_the_plan_is_renamed_into_place(tmp_path: Path) -> None:
    heard: list[str] = []
    code = """print('the library talks'); print('{"progress": "timing", "steps": 7}'); """
    run(tmp_path, _WRITE + code + _BUILT, heard=heard)
    assert heard == ["timing (7 steps)"]
    assert [p.name for p in tmp_path.iterdir()] == ["out.plan"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (_WRITE + """print('{"error": "node 7 is not known"}'); sys.exit(1)""", "node 7 is not known"),
        (_WRITE + "sys.stderr.write('x' * 200000 + ' out of luck'); sys.exit(3)", "exit 3: .*out of luck"),
        (_WRITE + "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "exit -9"),
        ("pass", "exit 0"),
    ],
)
def test_a_child_that_fails_leaves_nothing(tmp_path: Path, code: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        run(tmp_path, code)
    assert not list(tmp_path.iterdir())


def test_a_child_that_takes_too_much_memory_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="64 MiB are allowed"):
        run(tmp_path, _WRITE + "kept = b'x' * (256 << 20); import time; time.sleep(60)", memory_mib=64)
    assert not list(tmp_path.iterdir())


def test_a_child_that_hangs_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"longer than 0\.2 s"):
        run(tmp_path, _WRITE + "import time; time.sleep(60)", timeout_s=0.2)
    assert not list(tmp_path.iterdir())
