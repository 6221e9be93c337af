"""What scripts/rdma_vm prepares and collects, without booting anything."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from scripts.vm import __main__ as vm
from scripts.vm import image, pair
from scripts.vm.image import CannotBoot
from scripts.vm.machine import Guest


@pytest.mark.parametrize("only", ["", "faults"])
def test_the_guests_scripts_are_shell(only: str) -> None:
    paths = Path("/a folder/root"), Path("/a folder/bin/python"), Path("/usr/lib/pyverbs")
    for script in (pair.worker_script(*paths), pair.dpu_script(*paths, only)):
        subprocess.run(["bash", "-n"], input=script.encode(), check=True)
        assert "'/a folder/root'" in script
        assert "%(" not in script


def test_the_report_counts_tests_and_takes_what_they_measured(tmp_path: Path) -> None:
    assert vm.collect(tmp_path)["tests_passed"] == 0, "guests that never came up passed nothing"
    cases = "<testcase name='a'/><testcase name='b'><failure/></testcase><testcase name='c'><skipped/></testcase>"
    (tmp_path / "tests.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    lines = [{"recovery_s": {"x": 1.5}}, {"recovery_s": {"y": 2.0}}, {"goodput_ratio": 0.93}]
    (tmp_path / "results").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "wire_bytes").write_text("4096\n")
    report = vm.collect(tmp_path)
    assert (report["tests_passed"], report["tests_failed"], report["tests_skipped"]) == (1, 1, 1)
    assert report["failed"] == ["b"]
    assert report["recovery_s"] == {"x": 1.5, "y": 2.0}
    assert (report["goodput_ratio"], report["contract_wire_bytes"]) == (0.93, 4096)


def test_a_machine_that_cannot_boot_guests_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(CannotBoot, match="apt-get install busybox-static"):
        image.make_image(tmp_path)
    with pytest.raises(CannotBoot, match="apt-get install qemu-system-x86"):
        Guest("x", "", []).start(tmp_path, image.Image(tmp_path, tmp_path))
    monkeypatch.setattr(vm, "_TOOLS", (("no-such-program", "perftest"),))
    assert vm.main([]) == vm.CANNOT
    assert capsys.readouterr().err == "rdma_vm: no-such-program is not installed: apt-get install perftest\n"


def test_a_pyverbs_of_another_python_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyverbs").mkdir()
    (tmp_path / "pyverbs" / "device.cpython-30-x86_64-linux-gnu.so").touch()
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    monkeypatch.setattr("scripts.vm.__main__._SYSTEM", tmp_path / "none")
    with pytest.raises(CannotBoot, match="is for another Python"):
        vm.find_pyverbs()


@pytest.mark.parametrize(
    ("figures", "says"),
    [
        ({"goodput_ratio": 0.8, "trip_ratio": 3.0}, []),
        ({"goodput_ratio": 0.79, "trip_ratio": 2.0}, ["goodput is 0.79"]),
        ({"goodput_ratio": 0.9, "trip_ratio": 3.1}, ["a small round trip is 3.1"]),
        ({"goodput_ratio": None}, ["goodput is None", "a small round trip is None"]),
    ],
)
def test_speeds_count_only_where_they_are_asked_for(
    figures: dict[str, float | None], says: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = {"tests_passed": 38, "tests_failed": 0} | figures
    monkeypatch.setattr(vm, "run", lambda directory, only, rounds: report)
    missed = vm.missed_speeds(report)
    assert [sentence.startswith(begin) for sentence, begin in zip(missed, says, strict=True)] == [True] * len(says)
    assert vm.main([]) == 0, "a busy machine says nothing about the lane"
    assert vm.main(["--strict"]) == bool(says)
