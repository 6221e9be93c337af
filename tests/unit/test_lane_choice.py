"""Which ways to a worker there are on this machine, for both ends of carrier auto."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from app.lanes import lane_servers
from pipelines import build_link
from pipelines.errors import LaneError
from pipelines.transport import rdma
from pipelines.transport.grpc_options import GrpcLaneOptions
from pipelines.transport.link import NoCarrier
from pipelines.transport.options import LaneOptions
from pipelines.transport.place import PlaceOptions
from pipelines.transport.rdma_options import RdmaOptions
from pipelines.transport.rdma_verbs import Port
from tests.contracts.lane import Recorder
from tests.fakes.rdma import FakeFabric
from tests.unit.transport.values import CARD

RDMA = RdmaOptions(address="10.0.0.2:7471", secret=SecretStr("open sesame, open"))
GRPC = GrpcLaneOptions(address="127.0.0.1:1", model="m")
DEVICE = Port("rxe0", 1, "::ffff:10.0.0.1", 1, 0, 3, True, True)


def device(monkeypatch: pytest.MonkeyPatch, *ports: Port) -> None:
    """A machine with these ports."""
    monkeypatch.setattr(rdma, "device_ports", lambda: list(ports))
    monkeypatch.setattr(rdma, "device_verbs", lambda options: FakeFabric())


def carriers(place: PlaceOptions) -> dict[str, str]:
    """Ways of a link by name; those there are not with their reason."""
    link = build_link.link(place, LaneOptions(), Recorder())
    return {each.name: each.reason if isinstance(each, NoCarrier) else "" for each in link._carriers}


def test_auto_tries_what_is_named_best_first(monkeypatch: pytest.MonkeyPatch) -> None:
    device(monkeypatch, DEVICE)
    found = carriers(PlaceOptions(socket=Path("/run/w"), rdma=RDMA, grpc=GRPC))
    assert list(found.items()) == [("shm", ""), ("rdma", ""), ("grpc", "")]


def test_a_machine_without_a_device_has_no_rdma(monkeypatch: pytest.MonkeyPatch) -> None:
    device(monkeypatch)
    found = carriers(PlaceOptions(rdma=RDMA, grpc=GRPC))
    assert found == {
        "shm": "no socket on this host is named",
        "rdma": "this machine has no RDMA device with an address",
        "grpc": "",
    }


def test_where_no_lane_is_possible_every_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    device(monkeypatch)
    with pytest.raises(LaneError) as error:
        carriers(PlaceOptions(rdma=RDMA))
    assert str(error.value) == (
        "no lane is possible: no shm: no socket on this host is named; no rdma: this machine has no RDMA device "
        "with an address; no grpc: no address for grpc is named"
    )


def test_one_that_is_asked_for_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    device(monkeypatch, DEVICE)
    for carrier in ("shm", "rdma", "grpc"):
        place = PlaceOptions(carrier=carrier, socket=Path("/run/w"), rdma=RDMA, grpc=GRPC)
        assert carriers(place) == {carrier: ""}


@pytest.mark.parametrize(("ports", "servers"), [((), 1), ((DEVICE,), 2)])
def test_a_worker_listens_on_what_it_has(
    monkeypatch: pytest.MonkeyPatch, ports: tuple[Port, ...], servers: int, tmp_path: Path
) -> None:
    device(monkeypatch, *ports)
    told: list[str] = []
    options = LaneOptions(carrier="auto", rdma=RDMA)
    made = lane_servers(tmp_path / "w", CARD, options, "null", lambda lane: None, told.append)
    assert len(made._servers) == servers
    assert told == ([] if ports else ["this machine has no RDMA device with an address"])


def test_a_worker_that_is_to_have_rdma_must(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def nothing(options: RdmaOptions) -> None:
        raise LaneError("RDMA needs pyverbs")

    monkeypatch.setattr(rdma, "device_verbs", nothing)
    with pytest.raises(LaneError, match="needs pyverbs"):
        lane_servers(tmp_path / "w", CARD, LaneOptions(carrier="rdma", rdma=RDMA), "null", lambda lane: None)
