"""The one place that chooses how a worker is reached, DPU side. Carriers are imported late, as in build.py."""

from __future__ import annotations

from typing import Any

from pipelines.contracts import LaneEvents
from pipelines.errors import LaneError
from pipelines.transport.link import Carrier, Link, NoCarrier
from pipelines.transport.options import CARRIERS, CarrierName, LaneOptions
from pipelines.transport.place import PlaceOptions


def link(place: PlaceOptions, options: LaneOptions, events: LaneEvents) -> Link[Any]:
    """The DPU's end of lanes to one worker: by the carrier that is asked for, or by the best of those there are.

    Raises:
        LaneError: none is possible on this machine.
    """
    if place.carrier != "auto":
        return Link([_carrier(place.carrier, place, options)], options, events)
    carriers = [_carrier_or_reason(name, place, options) for name in CARRIERS]
    lacking = [f"no {each.name}: {each.reason}" for each in carriers if isinstance(each, NoCarrier)]
    if len(lacking) == len(carriers):
        raise LaneError(f"no lane is possible: {'; '.join(lacking)}")
    return Link(carriers, options, events)


def _carrier_or_reason(name: CarrierName, place: PlaceOptions, options: LaneOptions) -> Carrier[Any] | NoCarrier:
    try:
        carrier = _carrier(name, place, options)
        if name == "rdma":
            from pipelines.transport.rdma import require_device

            require_device()
    except LaneError as error:
        return NoCarrier(name, str(error))
    return carrier


def _carrier(name: CarrierName, place: PlaceOptions, options: LaneOptions) -> Carrier[Any]:
    """Raises LaneError if this worker cannot be reached so from this machine, whether it is there or not."""
    if name == "shm" and place.socket is not None:
        from pipelines.transport.shm_link import ShmCarrier

        return ShmCarrier(place.socket, options)
    if name == "rdma" and place.rdma is not None:
        from pipelines.transport.rdma import RdmaCarrier, device_verbs

        return RdmaCarrier(place.rdma, options, device_verbs(place.rdma))
    if name == "grpc" and place.grpc is not None:
        from pipelines.transport.grpc_link import GrpcCarrier

        return GrpcCarrier(place.grpc, options)
    raise LaneError("no socket on this host is named" if name == "shm" else f"no address for {name} is named")
