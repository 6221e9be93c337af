"""`scripts/gpu_check --device fake` runs everywhere, from end to end; what it finds wrong, it says and fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pipelines.errors import ModelError
from pipelines.model.fold import fold
from pipelines.model.options import FoldOptions
from pipelines.values import F32
from pipelines.worker.engines import device_open
from scripts.gpu_checks import __main__ as gpu_check
from scripts.gpu_checks import numerics, report
from scripts.gpu_checks.flops import count_flops
from tests.fakes.detector import save_detector

ROOT = Path(__file__).parents[2]
DETECTOR = ROOT / "pipelines/model/shipped/detector.folded.onnx"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu_check")
    target = folder / "folded.onnx"
    fold(save_detector(folder / "own.onnx", (64, 64)), target, FoldOptions())
    return target


def test_the_fake_device_passes_from_end_to_end(model: Path, tmp_path: Path) -> None:
    arguments = ["--device", "fake", "--model", str(model), "--max-batch", "4", "--seconds", "0.4"]
    files = ["--json", str(tmp_path / "report.json"), "--table", str(tmp_path / "table.md")]
    command = [str(ROOT / "scripts/gpu_check"), *arguments, *files]
    environ = {"PYTHON": sys.executable, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "report.json").read_text())
    fake = found["engines"]["fake"]
    assert {name for name, value in fake.items() if isinstance(value, dict) and value["ok"]} == {
        "numerics",
        "copies",
        "speed",
        "replay",
        "killed",
    }
    assert fake["copies"]["ring_pinned"]
    assert fake["copies"]["host_copies_when_pinned"] == 0
    assert fake["speed"]["graphs"] == [1, 2, 4]
    assert fake["replay"]["real_rate"]["tasks"] == 128
    assert fake["replay"]["saturating"]["ok_answers"] > 0
    assert "**fake**: onnxruntime behind a fake device" in (tmp_path / "table.md").read_text()


def test_without_a_gpu_each_engine_says_why_it_is_not_here(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing() -> object:
        raise ModelError("no CUDA device: none")

    monkeypatch.setattr(device_open, "_pycuda", nothing)
    monkeypatch.setattr(device_open, "_bindings", nothing)
    report_file = tmp_path / "report.json"
    code = gpu_check.main(["--model", str(model), "--engines", "tensorrt", "torch", "--json", str(report_file)])
    found = json.loads(report_file.read_text())
    assert code == 3
    assert not report.passed(found)
    assert set(found["engines"]) == {"tensorrt", "torch", "onnx-cuda"}
    assert all(found["engines"][name]["absent"] for name in ("tensorrt", "torch"))


def test_a_failed_check_fails_the_report(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numerics, "SCORE_TOLERANCE", {False: -1.0})
    for module in ("copies", "speed", "replay", "killed"):
        monkeypatch.setattr(getattr(gpu_check, module), "check", lambda *_: {"ok": True, "pinned_gb_s": 1.0})
    monkeypatch.setattr(report, "table", lambda _: "")
    report_file = tmp_path / "report.json"
    code = gpu_check.main(
        ["--device", "fake", "--model", str(model), "--max-batch", "1", "--seconds", "0", "--json", str(report_file)]
    )
    assert code == 1
    assert report.failures(json.loads(report_file.read_text())) == ["fake: numerics"]


def rows(*found: tuple[float, float, float]) -> F32:
    """Rows of (left, score, class); boxes are 10 px wide."""
    return np.array([[left, 0.0, left + 10.0, 10.0, score, kind] for left, score, kind in found], np.float32)


def test_answers_are_compared_row_by_row_in_whatever_order() -> None:
    expected = rows((0, 0.9, 0), (50, 0.89, 1), (90, 0.01, 0))
    same = numerics.difference(rows((50, 0.9, 1), (0, 0.89, 0), (20, 0.01, 1)), expected)
    assert (same.box_px, same.other_class) == (0.0, 0.0)
    assert same.score < 1e-6
    moved = numerics.difference(rows((3, 0.9, 0), (50, 0.89, 0), (90, 0.01, 0)), expected)
    assert (moved.box_px, moved.other_class) == (3.0, 0.5)
    lost = numerics.difference(rows((0, 0.9, 0), (50, 0.5, 1), (90, 0.01, 0)), expected)
    assert lost.box_px == float("inf")
    assert not lost.figures(half=True)["ok"]


def test_arithmetic_is_counted_from_the_convolutions(tmp_path: Path) -> None:
    weights = helper.make_tensor("w", TensorProto.FLOAT, [4, 3, 3, 3], [0.0] * 108)
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["b", c, 8, 8]) for n, c in (("x", 3), ("y", 4))]
    onnx.save(helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:], [weights])), tmp_path / "m.onnx")
    assert count_flops(tmp_path / "m.onnx") == 2 * (4 * 8 * 8) * (3 * 3 * 3)
    assert count_flops(DETECTOR) > 100e6
