"""Lanes over RDMA, to a worker on another host: what the rest of the program needs of them.

The DPU process runs an RdmaLink for each worker, the worker one RdmaServer. The slots, their states and everything that
counts are those of every carrier (`ring`, `writer`, `reader`); what is written where, and how the other side learns:

    DPU                                                    worker
    loan, fill the slot, header                            receives are posted, one and more for each slot
    post: RDMA_WRITE payload
          RDMA_WRITE_WITH_IMM header, (slot, gen)  ----->  completion: slot, generation -> announced, taken
                                                           answer written into its own answer region
    completion: slot, generation -> answered      <-----   RDMA_WRITE_WITH_IMM answer, (slot, generation)
    the slot is free: the answer is the credit             receive posted anew

`rdma_auth` proves the secret and seals the TCP connection, `rdma_wire` is that connection, `rdma_message` what is said
on it; `rdma_verbs` is the seam to the device and `rdma_pyverbs` the device; `rdma_memory` what frames land in.

A new attach has new memory, new keys and a new queue pair; closing the old ones takes the right to write from whoever
still has them. Nothing is registered while no lane is attached.
"""

from collections.abc import Sequence

from pipelines.errors import LaneError
from pipelines.transport.rdma_gpu import CudaMemory
from pipelines.transport.rdma_link import RdmaCarrier, RdmaLink
from pipelines.transport.rdma_memory import HostMemory
from pipelines.transport.rdma_options import RdmaOptions
from pipelines.transport.rdma_probe import Trial, try_all
from pipelines.transport.rdma_server import RdmaServer
from pipelines.transport.rdma_verbs import Port, Verbs

__all__ = [
    "HostMemory",
    "Port",
    "RdmaCarrier",
    "RdmaLink",
    "RdmaOptions",
    "RdmaServer",
    "Trial",
    "device_ports",
    "device_trials",
    "device_verbs",
    "require_device",
]


def device_verbs(options: RdmaOptions) -> Verbs:
    """This machine's RDMA devices.

    Raises:
        LaneError: pyverbs is not installed where this Python looks; says how to mend it.
    """
    try:
        from pipelines.transport.rdma_pyverbs import PyVerbs
    except ImportError as error:
        raise LaneError(_no_pyverbs(error)) from error
    return PyVerbs(options)


def device_ports() -> Sequence[Port]:
    """Every address that an RDMA device of this machine has. Raises LaneError as `device_verbs`."""
    try:
        from pipelines.transport.rdma_device import ports
    except ImportError as error:
        raise LaneError(_no_pyverbs(error)) from error
    return list(ports())


def require_device() -> None:
    """Raises LaneError if this machine has no RDMA device, or no pyverbs."""
    if not device_ports():
        raise LaneError("this machine has no RDMA device with an address")


def device_trials(options: RdmaOptions, local_address: str) -> Sequence[Trial]:
    """What works on the device that has this address, best way first. Raises LaneError as `device_verbs`."""
    return list(try_all(device_verbs(options), local_address, CudaMemory))


def _no_pyverbs(error: ImportError) -> str:
    return (
        f"RDMA needs pyverbs, which this Python does not find ({error}): install the distribution's python3-pyverbs "
        "and let the virtual environment see it (docs/rdma.md)"
    )
