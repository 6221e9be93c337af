"""What RDMA can do on this machine, tried one way after the other: for `framegate doctor rdma` and `memory: auto`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Literal

from pipelines.errors import LaneError
from pipelines.transport.rdma_gpu import CudaMemory, Way, register_gpu
from pipelines.transport.rdma_memory import address_of, allocate
from pipelines.transport.rdma_verbs import Verbs

_TRIAL_BYTES = 2 << 20


@dataclass(frozen=True, slots=True)
class Trial:
    """One way for frames to get to the engine, and whether it works here."""

    kind: Literal["dmabuf", "peermem", "host"]
    """dmabuf, peermem or host."""
    works: bool
    why: str
    """A sentence for people."""


_WORKS = {
    "dmabuf": "the card writes frames straight into the GPU's memory, by dma-buf",
    "peermem": "the card writes frames straight into the GPU's memory, through nvidia-peermem",
    "host": "the card writes frames into main memory; an engine on a GPU copies them from there",
}


def try_all(verbs: Verbs, local_address: str, cuda: Callable[[], CudaMemory]) -> Iterator[Trial]:
    """In order of preference. Registers two megabytes each time, and gives them back."""
    ways: tuple[Way, ...] = ("dmabuf", "peermem")
    for way in ways:
        yield _trial(way, partial(_try_gpu, verbs, local_address, cuda, way))
    yield _trial("host", partial(_try_host, verbs, local_address))


def chosen(trials: Sequence[Trial]) -> Trial:
    """The first that works.

    Raises:
        LaneError: none does, with what each of them said.
    """
    for trial in trials:
        if trial.works:
            return trial
    raise LaneError("; ".join(f"{trial.kind}: {trial.why}" for trial in trials))


def _trial(kind: Literal["dmabuf", "peermem", "host"], attempt: Callable[[], None]) -> Trial:
    try:
        attempt()
    except LaneError as error:
        return Trial(kind, False, str(error))
    return Trial(kind, True, _WORKS[kind])


def _try_gpu(verbs: Verbs, local_address: str, open_cuda: Callable[[], CudaMemory], way: Way) -> None:
    cuda = open_cuda()
    address = cuda.take(_TRIAL_BYTES)
    try:
        with closing(verbs.open(local_address, 1, 1)) as pair:
            register_gpu(pair, cuda, way, address, _TRIAL_BYTES)
            if cuda.needs_flush:
                cuda.flush()
    finally:
        cuda.give(address, _TRIAL_BYTES)


def _try_host(verbs: Verbs, local_address: str) -> None:
    memory = allocate(_TRIAL_BYTES)
    with closing(verbs.open(local_address, 1, 1)) as pair:
        pair.register(address_of(memory), len(memory), remote_write=True)
