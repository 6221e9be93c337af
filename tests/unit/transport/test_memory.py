"""What the kernel enforces about a lane's memory."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import LaneError
from pipelines.transport import memory
from pipelines.transport.region import RegionLayout
from pipelines.transport.writer import LaneMemory

LAYOUT = RegionLayout(slots=2, payload_bytes=192, top_k=4)


@pytest.fixture
def made() -> Iterator[tuple[LaneMemory, list[int]]]:
    mapped, fds = memory.create(LAYOUT, 1)
    yield mapped, fds
    memory.close(fds)


def test_both_sides_see_the_same_bytes_and_each_writes_its_own(made: tuple[LaneMemory, list[int]]) -> None:
    dpu, fds = made
    worker = memory.map_received(LAYOUT, 1, fds)
    dpu.payload_view(1)[:] = 7
    worker.answers[64] = 9
    assert worker.payload_view(1).tolist() == [7] * 192
    assert dpu.answers[64] == 9
    with pytest.raises(ValueError, match="read-only"):
        worker.payload_view(1)[0] = 1
    with pytest.raises(TypeError, match="read-only"):
        dpu.answers[0] = 1


def test_no_second_writer_of_payloads_and_no_resizing(made: tuple[LaneMemory, list[int]]) -> None:
    _, fds = made
    with pytest.raises(PermissionError):
        mmap.mmap(fds[0], LAYOUT.payload_region_bytes, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    with pytest.raises(PermissionError):
        os.write(fds[0], b"x")
    for fd in fds:
        for size in (0, 1 << 20):
            with pytest.raises(PermissionError):
                os.ftruncate(fd, size)


def test_descriptors_do_not_reach_child_programs(made: tuple[LaneMemory, list[int]]) -> None:
    assert [os.get_inheritable(fd) for fd in made[1]] == [False, False]


def test_files_that_could_shrink_or_do_not_fit_are_refused(made: tuple[LaneMemory, list[int]]) -> None:
    _, fds = made
    with pytest.raises(LaneError, match="expected two files"):
        memory.map_received(RegionLayout(3, 192_000, 4), 1, fds)
    with pytest.raises(LaneError, match="expected two files"):
        memory.map_received(LAYOUT, 1, fds[:1])
    loose = os.memfd_create("loose", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(loose, LAYOUT.answer_region_bytes)
    with pytest.raises(LaneError, match="not sealed"):
        memory.map_received(LAYOUT, 1, [fds[0], loose])
    os.close(loose)


def test_too_little_memory_is_an_error_before_the_first_frame() -> None:
    descriptors = set(os.listdir("/proc/self/fd"))
    with pytest.raises(LaneError, match=r"no memory for a lane of 1024 slots \(\d+\.\d MB\): \d+\.\d MB are available"):
        memory.create(RegionLayout(1024, 1 << 52, 4), 1)
    assert set(os.listdir("/proc/self/fd")) == descriptors


def mappings() -> int:
    """Mapped lane memory of this process, counted."""
    return Path("/proc/self/maps").read_text().count("memfd:framegate-")


def test_memory_goes_with_the_last_view_of_it() -> None:
    before = mappings()
    mapped, fds = memory.create(LAYOUT, 1)
    memory.close(fds)
    assert mappings() == before + 2
    view = mapped.payload_view(0)
    del mapped
    assert mappings() == before + 1, "the answers went at once"
    view[:] = np.uint8(1)
    del view
    assert mappings() == before
