"""The committed Protobuf code is what the generator makes of the committed .proto."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_generated_code_is_up_to_date(tmp_path: Path) -> None:
    """Only the descriptor is compared: the rest differs from one version of the generator to the next."""
    command = [sys.executable, "-m", "grpc_tools.protoc", "--proto_path=pipelines/schema=configs/schema"]
    subprocess.run([*command, f"--python_out={tmp_path}", "pipelines/schema/framegate.proto"], cwd=ROOT, check=True)

    assert descriptor_line(tmp_path) == descriptor_line(ROOT), "run scripts/generate_proto"


def descriptor_line(root: Path) -> str:
    text = (root / "pipelines/schema/framegate_pb2.py").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("DESCRIPTOR = "))
    return line


def test_no_demand_on_the_runtime_is_committed() -> None:
    """The generator's version check would tie the project to the newest Protobuf; see scripts/generate_proto."""
    assert "runtime_version" not in (ROOT / "pipelines/schema/framegate_pb2.py").read_text()
