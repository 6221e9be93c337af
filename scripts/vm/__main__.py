"""RDMA for real without a card: two guests with soft-RoCE, the tests in them, one report.

    scripts/rdma_vm [--report FILE] [--record] [--strict] [--rounds N] [--only EXPRESSION] [--keep DIR]

The report: {"tests_passed", "tests_failed", "goodput_ratio", "recovery_s": {FAULT: seconds}} and what else the tests
measured. Exit code 0: all passed; 1: not, or with --strict a speed was missed; 77: this machine cannot boot guests, and
why is said on one line.
"""

from __future__ import annotations

import argparse
import compileall
import json
import shutil
import signal
import socket
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from scripts.bench.record import record
from scripts.vm import pair
from scripts.vm.image import CannotBoot, make_image
from scripts.vm.machine import Guest, kvm_works

ROOT = Path(__file__).parents[2]
CANNOT = 77
_SYSTEM = Path("/usr/lib/python3/dist-packages")
_TOOLS = (("ib_write_bw", "perftest"), ("ib_send_lat", "perftest"), ("ip", "iproute2"), ("rdma", "iproute2"))
LIMIT_S = 1500.0
"""Two idle cores need a tenth of it; a machine that is busy with other things more."""
ROUNDS = 6
LEAST_GOODPUT, MOST_TRIP = 0.8, 3.0
"""Speeds that --strict asks for: bytes against ib_write_bw; a small round trip against ib_send_lat and a hop."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("rdma_vm", description="The RDMA tests between two guests with soft-RoCE.")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write what was passed and measured, as JSON")
    parser.add_argument("--only", default="", metavar="EXPRESSION", help="a choice of the tests, as pytest's -k has it")
    parser.add_argument("--record", action="store_true", help="append the figures to scripts/bench/results/rdma.jsonl")
    parser.add_argument("--strict", action="store_true", help="fail where a speed is missed: for a machine that idles")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each measurement of speed (default %(default)s)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in this new folder, and leave it")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="fg-vm-") as made:
        directory = arguments.keep or Path(made)
        try:
            report = run(directory, arguments.only, arguments.rounds)
        except CannotBoot as reason:
            sys.stderr.write(f"rdma_vm: {reason}\n")
            return CANNOT
    text = json.dumps(report, indent=2) + "\n"
    sys.stdout.write(text)
    if arguments.record:
        record("rdma", report["tests_passed"], report)
    if arguments.report:
        arguments.report.write_text(text)
    missed = missed_speeds(report) if arguments.strict else []
    for sentence in missed:
        sys.stderr.write(f"rdma_vm: {sentence}\n")
    return int(bool(missed) or report["tests_failed"] != 0 or report["tests_passed"] == 0)


def missed_speeds(report: Mapping[str, Any]) -> list[str]:
    """What of the speeds asked for was not reached, or not measured; one sentence each."""
    goodput, trip = report.get("goodput_ratio"), report.get("trip_ratio")
    missed = []
    if goodput is None or goodput < LEAST_GOODPUT:
        missed.append(f"goodput is {goodput} of ib_write_bw's; {LEAST_GOODPUT} is asked for")
    if trip is None or trip > MOST_TRIP:
        missed.append(f"a small round trip is {trip} times ib_send_lat and a hop; {MOST_TRIP} is asked for")
    return missed


def run(directory: Path, only: str = "", rounds: int = 1) -> dict[str, Any]:
    """Boot both guests, wait for the tests, collect. Takes minutes; each round of speeds about ten seconds.

    Raises:
        CannotBoot: QEMU, a kernel with soft-RoCE, pyverbs or a tool is missing.
    """
    check_tools()
    pyverbs = find_pyverbs()
    share = directory / "share"
    share.mkdir(parents=True)
    tree = copy_tree(directory / "tree")
    image = make_image(directory)
    prepare_clip(share / "clip")
    # Socket pairs, not ports: nobody has to wait until the other listens, and nobody else can connect.
    wires = [socket.socketpair() for _ in range(2)]
    near_ends, far_ends = zip(*wires, strict=True)
    python = Path(sys.executable)
    far = Guest("worker", pair.worker_script(tree, python, pyverbs), _cards(far_ends), far_ends)
    cards = _cards(near_ends) + ["hubport,hubid=0"] * 2
    near = Guest("dpu", pair.dpu_script(tree, python, pyverbs, only, rounds), cards, near_ends)
    began = time.monotonic()
    try:
        far.start(directory, image)
        near.start(directory, image)
        for wire in (*near_ends, *far_ends):
            wire.close()
        in_time = near.wait(LIMIT_S)
    finally:
        near.stop()
        far.stop()
    sys.stderr.write(near.output)
    if not in_time:
        sys.stderr.write(f"rdma_vm: the tests did not end within {LIMIT_S:g} s\n{far.output}")
    return collect(share) | {"seconds": round(time.monotonic() - began)}


def check_tools() -> None:
    """Raises CannotBoot for a program that is run in the guests and is not installed."""
    for program, package in _TOOLS:
        if shutil.which(program) is None and not Path("/sbin", program).exists():
            raise CannotBoot(f"{program} is not installed: apt-get install {package}")


def find_pyverbs() -> Path:
    """The folder of a pyverbs that this Python can load.

    Raises:
        CannotBoot: there is none, or only one for another Python.
    """
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    folders = [Path(entry) / "pyverbs" for entry in (*sys.path, str(_SYSTEM))]
    found = [folder for folder in folders if folder.is_dir()]
    if not found:
        raise CannotBoot("pyverbs is not installed: apt-get install python3-pyverbs")
    for folder in found:
        if (folder / f"device{suffix}").exists():
            return folder
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    raise CannotBoot(
        f"{found[0]} is for another Python than {version}: make the virtual environment with the distribution's "
        "(PYTHON=/usr/bin/python3 FRAMEGATE_VENV=... scripts/rdma_vm)"
    )


def copy_tree(target: Path) -> Path:
    """The program as it is now, compiled: both guests run one state of it, whatever is edited meanwhile."""
    for name in ("app", "pipelines", "scripts", "tests"):
        shutil.copytree(ROOT / name, target / name)
    shutil.copy(ROOT / "pyproject.toml", target)
    compileall.compile_dir(target, quiet=2, workers=1)
    return target


def prepare_clip(folder: Path) -> None:
    """A second of drawn targets and a detector that finds them, for the whole pipe."""
    from pipelines.model.fold import fold
    from pipelines.model.options import FoldOptions
    from tests.fakes.detector import save_detector
    from tests.fakes.scene import CLASS_NAMES, Scene, clip

    folder.mkdir()
    scene = Scene(width=320, height=180, seconds=1, gop=25)
    shutil.copy(clip(scene).path, folder / "clip.mp4")
    original = save_detector(folder / "scene.onnx", (416, 256), scene.wh)
    fold(original, folder / "scene.folded.onnx", FoldOptions(name="scene", classes=CLASS_NAMES, score_threshold=0.5))


def collect(share: Path) -> dict[str, Any]:
    """The report, from what the tests left behind."""
    report: dict[str, Any] = {"tests_passed": 0, "tests_failed": 0, "tests_skipped": 0, "goodput_ratio": None}
    report |= {"accelerated": kvm_works(), "recovery_s": {}, "noticed_s": {}, "failed": []}
    if (share / "tests.xml").exists():
        for case in ElementTree.parse(share / "tests.xml").iter("testcase"):
            outcome = {one.tag for one in case} & {"failure", "error", "skipped"}
            key = "passed" if not outcome else "skipped" if outcome == {"skipped"} else "failed"
            report[f"tests_{key}"] += 1
            if key == "failed":
                report["failed"].append(case.get("name"))
    if (share / "results").exists():
        for line in (share / "results").read_text().splitlines():
            for key, value in json.loads(line).items():
                if isinstance(report.get(key), dict):
                    report[key] |= value
                else:
                    report[key] = value
    if (share / "wire_bytes").exists():
        report["contract_wire_bytes"] = int((share / "wire_bytes").read_text())
    return report


def _cards(ends: Sequence[socket.socket]) -> list[str]:
    return [f"socket,fd={end.fileno()}" for end in ends]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # not without stopping the guests
    sys.exit(main())
