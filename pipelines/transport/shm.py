"""Shared-memory lanes on one host: what the rest of the program needs of them.

The DPU process runs a ShmLink for each worker, the worker one ShmServer; DESIGN 4 has the picture. Who does what:
`memory` the two mappings, `seqpacket` the socket, `message` its words, `handshake` the attach; `writer`, `reader` and
`ring` are the lane itself, as for every carrier.
"""

from pipelines.transport.link import LinkStatistics
from pipelines.transport.options import LaneOptions
from pipelines.transport.shm_link import ShmLink
from pipelines.transport.shm_server import ServerStatistics, ShmServer

__all__ = ["LaneOptions", "LinkStatistics", "ServerStatistics", "ShmLink", "ShmServer"]
