"""`scripts/gpu_check`: everything that only a GPU can show, in one command; with `--device fake`, everywhere.

Exit code: 0 all passed; 1 something failed; 3 no engine could be opened.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import onnxruntime

from pipelines.errors import FramegateError
from pipelines.worker.engines.onnx import CUDA
from scripts.gpu_checks import copies, killed, machine, numerics, onnx_cuda, replay, report, speed
from scripts.gpu_checks.candidates import NAMES, by_name
from scripts.gpu_checks.subject import Candidate, Figures, Settings, Subject

_ROOT = Path(__file__).parents[2]
_DETECTOR = _ROOT / "pipelines/model/shipped/detector.folded.onnx"


def main(argv: list[str] | None = None) -> int:
    """Parse, check, report."""
    options = _parser().parse_args(argv)
    settings = Settings(options.model.resolve(), options.max_batch, options.seconds)
    fake = options.device == "fake"
    started = time.monotonic()
    found: Figures = {
        "commit": _commit(),
        "model": settings.model.name,
        "fake": fake,
        "machine": machine.describe(),
        "engines": {},
    }
    for name in ("fake",) if fake else options.engines:
        _say(f"{name} ...")
        found["engines"][name] = _engine(by_name(name, settings), settings)
    if not fake:
        found["engines"]["onnx-cuda"] = _onnx(settings)
    found["seconds"] = round(time.monotonic() - started, 1)
    text = report.table(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    if options.table:
        options.table.write_text(text)
    _say(text)
    for failure in report.failures(found):
        _say(f"failed: {failure}")
    if all("absent" in engine for engine in found["engines"].values()):
        return 3
    return 0 if report.passed(found) else 1


def _engine(candidate: Candidate, settings: Settings) -> Figures:
    """All checks of one engine; what raises is a failed check, and the next one is tried."""
    opened = time.monotonic()
    try:
        engine = candidate.open(2, True)
    except FramegateError as error:
        return {"absent": str(error)}
    subject = Subject(candidate, engine, engine.device, settings)
    out: Figures = {"title": engine.title, "open_s": round(time.monotonic() - opened, 2)}
    half, fake = candidate.half, candidate.name == "fake"
    try:
        out["numerics"] = _tried(lambda: numerics.check(subject))
        out["copies"] = _tried(lambda: copies.check(subject))
        rate = None if fake else machine.rate_tflop_s(half)
        gb_s = out["copies"].get("pinned_gb_s") or copies.bandwidth_gb_s(subject)
        out["speed"] = _tried(lambda: speed.check(subject, gb_s, rate))
        out["replay"] = _tried(lambda: replay.check(subject))
        arguments = [candidate.name, str(settings.model), str(min(8, settings.max_batch))]
        out["killed"] = _tried(lambda: killed.check(subject, arguments))
    finally:
        engine.close()
    return out


def _onnx(settings: Settings) -> Figures:
    here = onnxruntime.get_available_providers()
    if CUDA not in here:
        return {"absent": f"onnxruntime here has {', '.join(here)}"}
    return {"title": "onnxruntime CUDA", "onnx": _tried(lambda: onnx_cuda.check(settings))}


def _tried(check: Callable[[], Figures]) -> Figures:
    started = time.monotonic()
    try:
        figures = check()
    except Exception as error:  # whatever a device or a library comes up with belongs in the report
        figures = {"ok": False, "error": f"{type(error).__name__}: {error}"[:600]}
    return {**figures, "seconds": round(time.monotonic() - started, 1)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/gpu_check", description=__doc__)
    parser.add_argument("--device", choices=("gpu", "fake"), default="gpu", help="fake: no GPU, virtual time")
    parser.add_argument("--model", type=Path, default=_DETECTOR, help="a folded model; default: the shipped detector")
    parser.add_argument("--engines", nargs="+", choices=NAMES, default=NAMES, help="which to try")
    parser.add_argument("--max-batch", type=int, default=32, help="largest batch, tasks")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each timed part")
    parser.add_argument("--json", type=Path, help="write the report here")
    parser.add_argument("--table", type=Path, help="write the table here, Markdown")
    return parser


def _commit() -> str:
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"], cwd=_ROOT, capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.decode().strip()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
