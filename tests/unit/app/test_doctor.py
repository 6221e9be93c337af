"""`framegate doctor rdma`, for people who have no RDMA, and for those who have some."""

from __future__ import annotations

import os

import pytest

from app import doctor
from app.cli import main
from pipelines.errors import LaneError
from pipelines.transport.rdma import Port, Trial
from pipelines.transport.rdma_probe import chosen, try_all
from tests.fakes.rdma import FakeFabric

UP = Port("mlx5_0", 1, "0000:0000:0000:0000:0000:ffff:0a4d:0001", 3, 0, 5, True, True)
LOCAL = Port("mlx5_0", 1, "fe80:0000:0000:0000:0000:0000:0000:0001", 1, 0, 5, True, True)
DOWN = Port("mlx5_1", 1, "0000:0000:0000:0000:0000:ffff:0a4d:0002", 3, 0, 5, False, True)


def test_it_says_what_is_chosen_and_why_not_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried: list[str] = []

    def trials(options: object, address: str) -> list[Trial]:
        tried.append(address)
        return [Trial("dmabuf", False, "no CUDA"), Trial("host", True, "the card writes into main memory")]

    monkeypatch.setattr(doctor, "device_ports", lambda: [LOCAL, DOWN, UP])
    monkeypatch.setattr(doctor, "device_trials", trials)
    assert main(["doctor", "rdma"]) == 0
    out = capsys.readouterr().out
    assert tried == ["10.77.0.1"], "not the address that leads to a neighbour only, and not the one that is down"
    assert "mlx5_1 port 1, link down, 10.77.0.2" in out
    assert "dmabuf   no     no CUDA" in out
    assert "Chosen: host." in out
    monkeypatch.setattr(doctor, "device_trials", lambda options, address: [Trial("host", False, "ulimit -l")])
    assert main(["doctor", "rdma", "--address", "10.0.0.9"]) == 1
    assert "Chosen: none" in capsys.readouterr().out
    monkeypatch.setattr(doctor, "device_ports", lambda: [DOWN])
    assert main(["doctor", "rdma"]) == 1
    assert "no RDMA device here has an address on a link that is up" in capsys.readouterr().err


def test_each_way_is_tried_in_order_and_leaves_nothing_behind() -> None:
    fabric = FakeFabric()

    def no_cuda() -> object:
        raise LaneError("no CUDA: no driver")

    trials = list(try_all(fabric, "10.77.0.1", no_cuda))  # type: ignore[arg-type]
    assert [(trial.kind, trial.works) for trial in trials] == [("dmabuf", False), ("peermem", False), ("host", True)]
    assert trials[0].why == "no CUDA: no driver"
    assert chosen(trials).kind == "host"
    assert (fabric.regions, len(fabric.opened), fabric.pairs) == (0, 1, {})
    with pytest.raises(LaneError, match="dmabuf: no CUDA"):
        chosen(trials[:2])


def test_a_gpus_memory_is_taken_registered_flushed_and_given_back() -> None:
    """With a card and a GPU that only look like ones: the order of the steps, not the steps."""
    fabric, done = FakeFabric(), []

    class Cuda:
        exports_dmabuf, needs_flush = True, True

        def take(self, size: int) -> int:
            return 0x7000_0000

        def give(self, address: int, size: int) -> None:
            done.append("given back")

        def export(self, address: int, size: int) -> int:
            done.append("exported")
            return os.eventfd(0)

        def flush(self) -> None:
            done.append("flushed")

    trials = list(try_all(fabric, "10.77.0.1", Cuda))  # type: ignore[arg-type]
    assert trials[0].why == "this fabric has no GPU", "the card's word, after the driver's"
    assert done == ["exported", "given back", "given back"]
    assert "nvidia-peermem" in trials[1].why
