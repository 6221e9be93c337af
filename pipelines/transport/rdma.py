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

from pipelines.transport.rdma_link import RdmaLink
from pipelines.transport.rdma_memory import HostMemory
from pipelines.transport.rdma_options import RdmaOptions
from pipelines.transport.rdma_server import RdmaServer

__all__ = ["HostMemory", "RdmaLink", "RdmaOptions", "RdmaServer"]
