"""The CUDA device calls the driver as its library wants it: cuda-bindings, over a driver made of host memory.

It shows that names, arguments, order and clean-up are right; what a GPU makes of them it cannot show.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a libcuda.so.1."""
    if find_spec("cuda") is None or find_spec("cuda.bindings") is None:
        pytest.skip("cuda-bindings is not installed (pip install 'framegate[gpu]')")
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to build the played driver with")
    folder = tmp_path_factory.mktemp("driver")
    source = ROOT / "tests/fakes/libcuda.c"
    flags = ["-shared", "-fPIC", "-Wall", "-Wextra"]
    subprocess.run([compiler, *flags, "-o", str(folder / "libcuda.so.1"), str(source)], check=True, timeout=60)
    return folder


def peer(driver: Path, case: str, **environ: str) -> dict[str, Any]:
    """Run one case in a process that finds this driver."""
    command = [sys.executable, "-m", "tests.fakes.cuda_peer", case]
    found = {**os.environ, "LD_LIBRARY_PATH": str(driver), **environ}
    done = subprocess.run(command, cwd=ROOT, env=found, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_every_way_into_a_batch_and_nothing_is_left_behind(driver: Path) -> None:
    said = peer(driver, "whole")
    assert said == {
        "title": "echo on Fake CUDA (cuda-bindings)",
        "pinned": [True, True],
        "right": [True] * 9,
        "staged": 10,
        "graphs": [9, [1, 2, 4]],
        "timed": True,
        "left": [0, 0, 0, 0],
    }


def test_what_the_driver_refuses_leaves_the_device_usable(driver: Path) -> None:
    said = peer(driver, "refused", FAKE_CUDA_BYTES="1000000")
    assert said == {
        "capability": "9.0",
        "driver": "13.0",
        "allocate": "CUDA_ERROR_OUT_OF_MEMORY",
        "dmabuf": ["EngineError", "CUDA_ERROR_NOT_SUPPORTED"],
        "free_bytes": 1000000,
    }


def test_an_error_that_sticks_is_a_lost_device(driver: Path) -> None:
    assert peer(driver, "broken") == {"lost": "CUDA_ERROR_ILLEGAL_ADDRESS"}


def test_little_memory_gives_smaller_batches(driver: Path) -> None:
    room_for_two_lanes_of_two = 2 * 2 * (1536 + 48 + 48) + 100
    said = peer(driver, "whole", FAKE_CUDA_BYTES=str(room_for_two_lanes_of_two + 2000))
    assert said["graphs"][1] == [1, 2]
