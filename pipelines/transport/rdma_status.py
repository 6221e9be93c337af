"""What a failed completion means, for people. Numbers as in ibv_poll_cq(3), rdma-core's enum ibv_wc_status. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.transport.rdma_verbs import Completion

SUCCESS = 0
FLUSHED = 5
_WORDS = {
    1: "a message was longer than the peer has room for",
    2: "the device found a queue pair in the wrong state",
    4: "the device may not read or write our own memory",
    FLUSHED: "the connection had failed before",
    8: "the peer's device answered nonsense",
    9: "the peer's device refused a malformed request",
    10: "the peer's device refused a write: it has no such memory, or not for us",
    11: "the peer's device failed to carry a write out",
    12: "the peer's device has not acknowledged in time: link or peer is down, or lane.rdma.ack_timeout_ms short",
    13: "the peer posts no receives: it hangs",
}


def in_words(status: int) -> str:
    """One clause, with the number for those who look it up."""
    return f"{_WORDS.get(status, 'the device reports an error')} (status {status})"


def reason_of(completions: Sequence[Completion]) -> str:
    """Why a lane is over: the first failure that is a cause. Those that were only flushed follow from one."""
    failed = [one for one in completions if one.error]
    causes = [one for one in failed if not one.flushed]
    return f"the RDMA connection failed: {(causes or failed)[0].error}"
