"""scripts/rdma_vm as a test: the contract, the faults and the pipe of the RDMA lane, in two guests.

Speeds are measured once, to see that they can be; what they have to be on a machine that idles, the command's --strict
knows.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from scripts.vm.__main__ import LIMIT_S, run
from scripts.vm.image import CannotBoot
from tests.hardware.far import VARIABLE

FAULTS = {
    "worker_killed",
    "dpu_killed",
    "link_down_3s",
    "link_down_for_ever",
    "worker_hung",
    "receiver_silent",
    "forged_handshake",
    "layout_mismatch",
    "late_write",
}


@pytest.mark.timeout(LIMIT_S + 120)
def test_rdma_between_two_guests(tmp_path: Path) -> None:
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
    assert report["tests_skipped"] == 0, "what the guests have, nothing in them may miss"
    assert set(report["recovery_s"]) == FAULTS
    assert report["pipe"]["boxes"] > 20
    assert report["goodput_ratio"] > 0
    assert report["trip_ratio"] > 0
    assert report["contract_wire_bytes"] > 1_000_000, "the contract suite must go over the wire"
