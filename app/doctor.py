"""`framegate doctor rdma`: what RDMA can do on this machine, in an operator's words."""

from __future__ import annotations

import argparse
import ipaddress
import resource
import sys
from collections.abc import Sequence

from pydantic import SecretStr

from app.exit_code import ExitCode
from pipelines.errors import LaneError
from pipelines.transport.rdma import Port, RdmaOptions, device_ports, device_trials


def add_doctor(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    subjects = parser.add_subparsers(required=True, metavar="SUBJECT")
    rdma = subjects.add_parser("rdma", help="devices, and how frames can reach a GPU's memory, each way tried")
    rdma.add_argument("--address", metavar="IP", help="of the RDMA device to try; default: the first whose link is up")
    rdma.set_defaults(command=doctor_rdma)


def doctor_rdma(arguments: argparse.Namespace) -> int:
    """Exit code 0 if a lane over RDMA can be had here.

    Raises:
        LaneError: there is nothing to try: no pyverbs, no device, no link.
    """
    ports = device_ports()
    _say("RDMA devices of this machine", *(_port(port) for port in ports))
    address = arguments.address or _first_address(ports)
    trials = device_trials(RdmaOptions(address=f"[{address}]:1", secret=SecretStr("")), address)
    lines = [f"{trial.kind:8} {'works' if trial.works else 'no   '}  {trial.why}" for trial in trials]
    _say(f"How frames can get from the card at {address} to the engine, best way first", *lines)
    _say("Memory that may be locked for the card", _locked_memory())
    best = next((trial for trial in trials if trial.works), None)
    if best is None:
        _say("Chosen: none. A lane over RDMA cannot be had here until one of the above works.")
        return ExitCode.FAILED
    _say(f"Chosen: {best.kind}. `lane.rdma.memory: auto` chooses the same, with an engine on a GPU.")
    return ExitCode.DONE


def _port(port: Port) -> str:
    link = "link up" if port.active else "link down"
    way = "RoCE v2" if port.routed else "not routed: needs lane.rdma.device and gid_index"
    return f"{port.device} port {port.number}, {link}, {_plain(port.gid)}, GID index {port.gid_index}, {way}"


def _plain(gid: str) -> str:
    address = ipaddress.IPv6Address(gid)
    return str(address.ipv4_mapped or address)


def _first_address(ports: Sequence[Port]) -> str:
    usable = [port for port in ports if port.active and port.routed]
    if not usable:
        raise LaneError("no RDMA device here has an address on a link that is up: nothing to try")
    # A link-local address leads to one neighbour at most: not what an operator would configure.
    usable.sort(key=lambda port: ipaddress.IPv6Address(port.gid).is_link_local)
    return _plain(usable[0].gid)


def _locked_memory() -> str:
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if limit == resource.RLIM_INFINITY:
        return "no limit"
    return f"{limit / 1e6:.1f} MB (ulimit -l); a lane takes slots times the size of a frame: raise it if that is more"


def _say(title: str, *lines: str) -> None:
    sys.stdout.write("\n".join([title, *(f"  {line}" for line in lines)]) + "\n")
