"""RDMA devices through pyverbs.

pyverbs comes with the distribution, as it must match rdma-core (Debian: python3-pyverbs). It keeps the interpreter's
lock in every call, so nothing here may block: the completion channel does not, and its descriptor is the loop's.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pyverbs import enums as e
from pyverbs.addr import GID, AHAttr, GlobalRoute
from pyverbs.cq import CQ, CompChannel
from pyverbs.device import Context
from pyverbs.mr import MR, DmaBufMR
from pyverbs.pd import PD
from pyverbs.pyverbs_error import PyverbsError, PyverbsRDMAError
from pyverbs.qp import QP, QPAttr, QPCap, QPInitAttr
from pyverbs.wr import SGE, RecvWR, SendWR

from pipelines.errors import LaneError
from pipelines.transport.rdma_device import find_port
from pipelines.transport.rdma_options import RdmaOptions
from pipelines.transport.rdma_status import FLUSHED, SUCCESS, in_words
from pipelines.transport.rdma_verbs import Completion, Endpoint, LocalRegion, Piece, Port, RemoteRegion

_SEND, _RECEIVE = 1, 2  # wr_id; a failed completion tells nothing else of its kind
_PACKET_NUMBERS = 1 << 24
_RETRIES = 7  # for lost packets, the most there are
_NOT_READY_RETRIES = 6  # 7 would mean for ever
_NOT_READY_TIMER = 14  # 1.28 ms. Receives are posted before they can be needed: only a broken peer makes us wait
_HOPS = 64
_SPARE = 16
_POLL = 64
_EMPTY_BYTES = 64
_LOCAL, _REMOTE = e.IBV_ACCESS_LOCAL_WRITE, e.IBV_ACCESS_LOCAL_WRITE | e.IBV_ACCESS_REMOTE_WRITE
_finding_descriptor = threading.Lock()


class PyVerbs:
    """Verbs of this machine's devices."""

    def __init__(self, options: RdmaOptions) -> None:
        self._options = options

    def open(self, local_address: str, slots: int, writes_per_slot: int) -> DeviceQueuePair:
        """See Verbs."""
        port = find_port(self._options, local_address)
        try:
            return DeviceQueuePair(port, self._options.ack_timeout_exponent, slots, writes_per_slot)
        except PyverbsError as error:
            raise LaneError(f"the RDMA device {port.device} gives no queue pair for {slots} slots: {error}") from error


@dataclass(slots=True)
class _Chain:
    """What one slot writes, ready to post: all of it, or only the last piece."""

    first: SendWR
    first_sge: SGE
    last: SendWR
    parts: tuple[SendWR | SGE, ...]
    """The others point into these."""


class DeviceQueuePair:
    """See QueuePair. A context, domain, completion queue and queue pair for each attach: nothing outlives it.

    Sends: every n-th asks for a completion, with n half the slots; the queue has room for three rounds of all slots, so
    a send queue that is full means a loop that does not run, and shows as `ring_full`. Receives: one for each slot and
    some to spare, so that those used up can be posted anew in one call for several.
    """

    def __init__(self, port: Port, timeout: int, slots: int, writes_per_slot: int) -> None:
        self._port, self._timeout = port, timeout
        self._posts, self._signal_every = 0, max(1, slots // 2)
        self._chains: dict[int, _Chain] = {}
        self._regions: list[MR] = []
        self._events = self._used_receives = 0
        self.fetched = 0
        """Completions so far, of notices and of the writes that asked for one."""
        self._closed = False
        sends, self._receives = 3 * slots * writes_per_slot + _SPARE, slots + _SPARE
        self._context = Context(name=port.device)
        try:
            self._domain = PD(self._context)
            self._channel, self._fd = _channel(self._context)
            self._queue = CQ(self._context, sends + self._receives, None, self._channel, 0)
            self._queue.req_notify()
            capacity = QPCap(max_send_wr=sends, max_recv_wr=self._receives, max_send_sge=1, max_recv_sge=1)
            wanted = QPInitAttr(qp_type=e.IBV_QPT_RC, scq=self._queue, rcq=self._queue, cap=capacity, sq_sig_all=0)
            self._pair = QP(self._domain, wanted)
            self._empty = MR(self._domain, _EMPTY_BYTES, _LOCAL)
            sge = SGE(self._empty.buf, _EMPTY_BYTES, self._empty.lkey)
            self._receive = RecvWR(wr_id=_RECEIVE, num_sge=1, sg=[sge])
            self._receives_at_once = _chained(sge, _SPARE)
        except BaseException:
            self._context.close()
            raise
        self._endpoint = Endpoint(
            self._pair.qp_num, secrets.randbelow(_PACKET_NUMBERS), port.gid, port.lid, int(port.mtu)
        )

    @property
    def endpoint(self) -> Endpoint:
        return self._endpoint

    def fileno(self) -> int:
        return self._fd

    def register(self, address: int, length_bytes: int, *, remote_write: bool) -> LocalRegion:
        """See QueuePair."""
        access = _REMOTE if remote_write else _LOCAL
        try:
            region = MR(self._domain, length_bytes, access, address=address)
        except PyverbsError as error:
            raise LaneError(
                f"{length_bytes / 1e6:.1f} MB cannot be registered with {self._port.device}: {error}; "
                "`ulimit -l` must allow that much locked memory"
            ) from error
        return self._registered(region, address, length_bytes)

    def register_dmabuf(self, fd: int, length_bytes: int) -> LocalRegion:
        """See QueuePair. Addresses of such a region begin at its offset in the dma-buf, which is 0."""
        try:
            region = DmaBufMR(self._domain, length_bytes, _REMOTE, dmabuf=fd, offset=0)
        except PyverbsError as error:
            raise LaneError(f"{self._port.device} cannot reach the GPU's memory by dma-buf: {error}") from error
        return self._registered(region, 0, length_bytes)

    def prepare(self, slot: int, pieces: Sequence[Piece]) -> None:
        """See QueuePair."""
        sges = [SGE(piece.address, piece.length_bytes, piece.key) for piece in pieces]
        requests: list[SendWR] = []
        for number, (piece, sge) in enumerate(zip(pieces, sges, strict=True), start=1):
            last = number == len(pieces)
            opcode = e.IBV_WR_RDMA_WRITE_WITH_IMM if last else e.IBV_WR_RDMA_WRITE
            request = SendWR(wr_id=_SEND, opcode=opcode, num_sge=1, sg=[sge], send_flags=0)
            request.set_wr_rdma(piece.remote_key, piece.remote_address)
            if requests:
                requests[-1].next_wr = request
            requests.append(request)
        self._chains[slot] = _Chain(requests[0], sges[0], requests[-1], (*requests, *sges))

    def connect(self, peer: Endpoint) -> None:
        """See QueuePair."""
        attributes = QPAttr(port_num=self._port.number)
        attributes.qp_access_flags = _REMOTE
        attributes.path_mtu = min(peer.mtu, self._endpoint.mtu)
        attributes.dest_qp_num = peer.queue_pair
        attributes.rq_psn, attributes.sq_psn = peer.first_packet, self._endpoint.first_packet
        attributes.min_rnr_timer = _NOT_READY_TIMER
        attributes.timeout, attributes.retry_cnt = self._timeout, _RETRIES
        attributes.rnr_retry = _NOT_READY_RETRIES
        try:
            route = GlobalRoute(dgid=GID(peer.gid), sgid_index=self._port.gid_index, hop_limit=_HOPS)
            attributes.ah_attr = AHAttr(dlid=peer.lid, is_global=1, port_num=self._port.number, gr=route)
            self._pair.to_init(attributes)
            for _ in range(self._receives):
                self._pair.post_recv(self._receive)
            self._pair.to_rts(attributes)
        except PyverbsError as error:
            raise LaneError(f"{self._port.device} cannot connect to {peer.gid}: {error}") from error

    def post(self, slot: int, first_bytes: int, notice: int) -> bool:
        """See QueuePair."""
        chain = self._chains[slot]
        self._posts += 1
        chain.last.send_flags = 0 if self._posts % self._signal_every else e.IBV_SEND_SIGNALED
        chain.last.imm_data = socket.htonl(notice)
        chain.first_sge.length = first_bytes
        try:
            # Some devices take an empty piece for 2 GB.
            self._pair.post_send(chain.first if first_bytes else chain.last)
        except PyverbsRDMAError:
            return False
        return True

    def completions(self) -> Sequence[Completion]:
        """See QueuePair."""
        with suppress(PyverbsRDMAError):  # EAGAIN: no event waits
            self._channel.get_cq_event(self._queue)
            self._events += 1
        self._queue.req_notify()
        out = []
        while True:
            count, found = self._queue.poll(_POLL)
            self.fetched += count
            for one in found:
                if one.status != SUCCESS:
                    out.append(Completion(None, in_words(one.status), one.status == FLUSHED))
                elif one.opcode == e.IBV_WC_RECV_RDMA_WITH_IMM:
                    self._used_receives += 1
                    out.append(Completion(socket.ntohl(one.imm_data)))
            if count < _POLL:
                self._post_receives()
                return out

    def close(self) -> None:
        """See QueuePair."""
        if self._closed:
            return
        self._closed = True
        self._chains.clear()
        self._queue.ack_events(self._events)  # all at once: until then the queue cannot be destroyed, that is all
        # In this order: the queue pair first, so that nothing is written through a key while it is being withdrawn.
        for part in (self._pair, *self._regions, self._empty, self._queue, self._channel, self._domain, self._context):
            part.close()

    def _post_receives(self) -> None:
        """Before any notice of this round is answered, so that one is there for each slot that the peer may fill."""
        while self._used_receives >= _SPARE:
            self._pair.post_recv(self._receives_at_once[0])
            self._used_receives -= _SPARE

    def _registered(self, region: MR, address: int, length_bytes: int) -> LocalRegion:
        self._regions.append(region)
        return LocalRegion(address, region.lkey, length_bytes, RemoteRegion(address, region.rkey, length_bytes))


def _chained(sge: SGE, count: int) -> list[RecvWR]:
    """Receives that are posted with the first of them; each points to the next, so all must be kept."""
    requests = [RecvWR(wr_id=_RECEIVE, num_sge=1, sg=[sge])]
    for _ in range(count - 1):
        requests.insert(0, RecvWR(wr_id=_RECEIVE, num_sge=1, sg=[sge], next_wr=requests[0]))
    return requests


def _channel(context: Context) -> tuple[CompChannel, int]:
    """A completion channel that does not block, and its descriptor, which pyverbs keeps to itself.

    It is found as the one completion-channel descriptor that was not there before.
    """
    with _finding_descriptor:
        before = _event_descriptors()
        channel = CompChannel(context)
        [fd] = _event_descriptors() - before
    os.set_blocking(fd, False)
    return channel, fd


def _event_descriptors() -> set[int]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the listing's own is gone by now
            if "infinibandevent" in str(Path(f"/proc/self/fd/{name}").readlink()):
                found.add(int(name))
    return found
