"""scripts/rdma_vm as a test: the contract, the faults, the pipe and the speed of the RDMA lane, in two guests."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from scripts.vm.__main__ import LIMIT_S, run
from scripts.vm.image import CannotBoot
from tests.hardware.far import VARIABLE


@pytest.mark.timeout(LIMIT_S + 120)
def test_rdma_between_two_guests(tmp_path: Path) -> None:
    if os.environ.get("FRAMEGATE_RDMA_VM") != "1":
        pytest.skip("boots two virtual machines, some minutes without KVM: FRAMEGATE_RDMA_VM=1 runs it")
    if VARIABLE in os.environ:
        pytest.skip("this is one of the guests")
    if platform.machine() != "x86_64":
        pytest.skip(f"the guests are x86-64 machines; this one is {platform.machine()}")
    try:
        report = run(tmp_path / "vm")
    except CannotBoot as reason:
        pytest.skip(str(reason))
    assert report["tests_failed"] == 0, report["failed"]
    assert report["tests_passed"] > 30
    assert report["goodput_ratio"] > 0.5, "0.8 is asked for where nothing else runs; a test must bear a busy machine"
    assert report["contract_wire_bytes"] > 1_000_000, "the contract suite must go over the wire"
