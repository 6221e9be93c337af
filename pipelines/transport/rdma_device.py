"""Which RDMA device and port a lane uses: the one that has the lane's own address. Knows pyverbs."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from pyverbs import enums as e
from pyverbs.device import Context, PortAttr, get_device_list
from pyverbs.pyverbs_error import PyverbsError

from pipelines.errors import LaneError
from pipelines.transport.rdma_options import RdmaOptions
from pipelines.transport.rdma_verbs import Port, gid_of

_MAX_GIDS = 256


def find_port(options: RdmaOptions, local_address: str) -> Port:
    """The port for a lane whose TCP connection has this local address.

    Raises:
        LaneError: there is none, with what there is instead; or its link is down.
    """
    everything = list(ports())
    wanted = [port for port in everything if options.device in ("", port.device)]
    if options.gid_index >= 0:
        found = [port for port in wanted if port.gid_index == options.gid_index and options.device]
    else:
        gid = gid_of(local_address)
        found = sorted((p for p in wanted if p.gid == gid and p.routed), key=lambda port: not port.active)
    if not found:
        raise LaneError(_nothing(options, local_address, everything))
    if not found[0].active:
        raise LaneError(f"the link of the RDMA device {found[0].device} is down")
    return found[0]


def ports() -> Iterator[Port]:
    """Every address of every port of every device.

    Raises:
        LaneError: a device cannot be opened.
    """
    try:
        for device in get_device_list():
            with Context(name=device.name.decode()) as context:
                yield from _ports_of(context)
    except PyverbsError as error:
        raise LaneError(f"the RDMA devices cannot be looked at: {error}") from error


def _ports_of(context: Context) -> Iterator[Port]:
    attributes: dict[int, PortAttr] = {}
    for entry in context.query_gid_table(_MAX_GIDS):
        number = entry.port_num
        attribute = attributes.setdefault(number, context.query_port(number))
        yield Port(
            device=context.name,
            number=number,
            gid=ipaddress.ip_address(entry.gid_str()).exploded,
            gid_index=entry.gid_index,
            lid=attribute.lid,
            mtu=attribute.active_mtu,
            active=attribute.state == e.IBV_PORT_ACTIVE,
            routed=entry.gid_type == e.IBV_GID_TYPE_ROCE_V2,
        )


def _nothing(options: RdmaOptions, local_address: str, everything: list[Port]) -> str:
    if not everything:
        return "this machine has no RDMA device that is up (`ibv_devices` lists none, or no port has an address)"
    names = ", ".join(sorted({port.device for port in everything}))
    if options.device and options.device not in {port.device for port in everything}:
        return f"there is no RDMA device {options.device} (lane.rdma.device); this machine has {names}"
    return (
        f"no RDMA device has the address {local_address} that this side of the lane uses (devices: {names}): "
        "name an address of the RDMA network in lane.rdma.address, or set lane.rdma.device and gid_index"
    )
