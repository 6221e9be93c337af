"""Clients' shared memory: only their own bytes, and nothing they do to it can end this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.worker.serve.regions import Regions, RegionStatus
from pipelines.worker.serve.status import Code, RequestError
from pipelines.worker.serve.tensor import SharedRange


@pytest.fixture
def regions(tmp_path: Path) -> Iterator[Regions]:
    (tmp_path / "seg").write_bytes(bytes(range(100)))
    made = Regions(2, tmp_path)
    yield made
    made.close()


def register(regions: Regions, name: str = "in", key: str = "/seg", offset: int = 10, size: int = 50) -> RegionStatus:
    region = RegionStatus(name, key, offset, size)
    regions.register(region)
    return region


def code(regions: Regions, **region: object) -> Code:
    with pytest.raises(RequestError) as refusal:
        register(regions, **region)  # type: ignore[arg-type]
    return refusal.value.code


def test_read_and_write_within_a_region(regions: Regions, tmp_path: Path) -> None:
    region = register(regions)
    assert regions.read(SharedRange("in", 5, 3)) == bytes([15, 16, 17])
    regions.write(SharedRange("in", 0, 10), b"abc")
    assert (tmp_path / "seg").read_bytes()[9:14] == b"\x09abc\x0d"
    assert regions.status() == regions.status("in") == (region,)


@pytest.mark.parametrize(("offset", "size"), [(0, 51), (50, 1), (-1, 2), (0, -1), (2**62, 1)])
def test_a_place_outside_the_region(regions: Regions, offset: int, size: int) -> None:
    register(regions)
    with pytest.raises(RequestError, match="do not lie in region in"):
        regions.read(SharedRange("in", offset, size))


def test_an_output_longer_than_its_place(regions: Regions) -> None:
    register(regions)
    with pytest.raises(RequestError, match="the output has 3 bytes"):
        regions.write(SharedRange("in", 0, 2), b"abc")


def test_a_region_that_its_client_shrinks(regions: Regions, tmp_path: Path) -> None:
    """Through a mapping this would be SIGBUS; and writing must not make it grow again."""
    register(regions)
    os.truncate(tmp_path / "seg", 12)
    with pytest.raises(RequestError, match="shorter than it was"):
        regions.read(SharedRange("in", 0, 50))
    with pytest.raises(RequestError, match="shorter than it was"):
        regions.write(SharedRange("in", 0, 50), b"abc")
    assert (tmp_path / "seg").stat().st_size == 12


@pytest.mark.parametrize(
    "key", ["", "/", "..", "/..", "../etc/passwd", "a/b", "/nothing", "fold", "link", "pipe", "\0"]
)
def test_a_key_is_a_name_of_a_plain_file_of_ours(regions: Regions, tmp_path: Path, key: str) -> None:
    (tmp_path / "fold").mkdir()
    (tmp_path / "link").symlink_to("seg")
    os.mkfifo(tmp_path / "pipe")
    assert code(regions, key=key) is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(("offset", "size"), [(0, 101), (100, 1), (0, 0), (-1, 5)])
def test_a_region_that_is_not_there(regions: Regions, offset: int, size: int) -> None:
    assert code(regions, offset=offset, size=size) is Code.INVALID_ARGUMENT


def test_names_are_unique_and_few(regions: Regions) -> None:
    register(regions)
    assert code(regions) is Code.ALREADY_EXISTS
    register(regions, name="out")
    assert code(regions, name="third") is Code.RESOURCE_EXHAUSTED
    regions.unregister("out")
    register(regions, name="third")


def test_unregister_closes_what_was_open(regions: Regions) -> None:
    before = len(os.listdir("/proc/self/fd"))
    register(regions)
    register(regions, name="out")
    assert len(os.listdir("/proc/self/fd")) == before + 2
    regions.unregister("")
    assert len(os.listdir("/proc/self/fd")) == before
    regions.unregister("in")
    with pytest.raises(RequestError) as refusal:
        regions.read(SharedRange("in", 0, 1))
    assert refusal.value.code is Code.NOT_FOUND


def test_a_refused_region_leaves_nothing_open(regions: Regions) -> None:
    before = len(os.listdir("/proc/self/fd"))
    code(regions, size=1000)
    assert len(os.listdir("/proc/self/fd")) == before
