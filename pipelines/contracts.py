"""The architecture in one screen: what each step promises to the two loops (ingest.py, egress.py) and the worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipelines.values import (
    F32,
    U8,
    Action,
    Alert,
    Answer,
    AnswerCode,
    CameraHealth,
    Frame,
    FrameResult,
    ModelCard,
    Packet,
    Priority,
    SlotHeader,
    StreamInfo,
    Undecodable,
    quick_value,
)

# --- camera -> packets -> frames (source/) -------------------------------------------------------------------------


class Stream(Protocol):
    """One open stream of one camera. Used by its pump thread only, except `interrupt`."""

    @property
    def info(self) -> StreamInfo: ...

    def read(self, wanted_ns: int = 0) -> Packet | None:
        """Next video packet, entered in the camera's ledger; None at the end of a file. Blocks.

        Args:
            wanted_ns: Nobody waits for what arrives before this, monotonic ns: packets may gather for a moment and be
                taken together, which spares the thread most of its wake-ups.

        Raises:
            SourceError: the connection broke, timed out or was interrupted.
        """

    def decoder(self) -> Decoder:
        """A fresh decoder for this stream; the caller closes it."""

    def interrupt(self) -> None:
        """Make a blocked `read` return soon with SourceError. Any thread, any number of times."""

    def close(self) -> None: ...


class Source(Protocol):
    """Where one camera's packets come from."""

    @property
    def paced(self) -> bool:
        """True: real time, so frames are dropped rather than delayed. False: a file read as fast as possible."""

    def open(self) -> Stream:
        """Connect. Blocks at most the configured open timeout.

        Raises:
            SourceError: with the reason, URL redacted.
        """

    def interrupt(self) -> None:
        """Abort a blocked `open`. Any thread."""


class Decoder(Protocol):
    """Packets to pictures, matched by identity. Every packet given comes back exactly once over time."""

    def decode(self, packet: Packet) -> Sequence[Frame | Undecodable]: ...

    def flush(self) -> Sequence[Frame | Undecodable]:
        """End of stream: all that is still inside, as frames where possible, else as undecodable(flushed)."""

    def close(self) -> None: ...


# --- gates (gate/, prefilter/): packet or frame -> go on, or an outcome --------------------------------------------


@dataclass(frozen=True, slots=True)
class GateSetting:
    """What the audit found one gate of one camera should do."""

    factor: float = 1.0
    """Of the configured threshold."""
    open_since_ns: int | None = None
    """Set: it lets everything through, as no threshold reached the target."""
    openings: int = 0


@dataclass(frozen=True, slots=True)
class GateStatistics:
    """A packet gate's counters since start."""

    state: str
    """asleep, waking or awake."""
    wakes: int
    false_wakes: int
    """Wake-ups after which the picture gates saw nothing."""
    glances: int
    reason: str
    """Why the camera is awake though nothing is seen: it cannot be gated, or is still being learned."""


class PacketGate(Protocol):
    """The one decision point before the decoder. One per camera; pump thread."""

    @property
    def decoding(self) -> bool:
        """Packets go to the decoder now; False: the camera sleeps, and no picture is expected."""

    def restart(self, info: StreamInfo) -> None:
        """A new connection."""

    def admit(self, packet: Packet) -> Action:
        """Decide for one packet, and keep it."""

    @property
    def score(self) -> float:
        """Of the packet just admitted: how much it stands out of its stream's quiet."""

    @property
    def nearness(self) -> float:
        """Of the packet just admitted: its score over the threshold; 1 and more wakes."""

    def trigger(self, until_ns: int) -> None:
        """Stay awake until then. Any thread."""

    def tune(self, setting: GateSetting) -> None:
        """What the audit found. Any thread."""

    @property
    def whole(self) -> bool:
        """A decoder may start with `kept` and the packet just admitted: they begin with a key frame, or nothing better
        will come."""

    def kept(self) -> Sequence[Packet]:
        """What leads from a key frame to the packet just admitted, without it. All of it has had its outcome."""

    def seen(self, time_ns: int) -> None:
        """A picture of that (scene) time showed something: stay awake."""

    def statistics(self) -> GateStatistics: ...


class Presence(Protocol):
    """Is anything there? One per camera, over one shared session. Pump thread."""

    def probability(self, thumbnail: U8, time_ns: int) -> float:
        """thumbnail: (96, 160) uint8 luma of the whole frame. Returns 0..1. Also feeds the camera's background."""

    def observe(self, thumbnail: U8, time_ns: int) -> None:
        """Feed the background only: this frame is not asked about. Every analysed frame goes to one of the two."""

    def ready(self, time_ns: int) -> bool:
        """False while the background is still being learned (start, scene change): let every frame pass."""

    def reset(self) -> None:
        """Scene change or new connection: learn the background anew."""


# --- DPU -> worker -> DPU (transport/) -----------------------------------------------------------------------------


@quick_value(eq=False)
class Slot:
    """A loaned slot. `payload` is valid until publish or discard."""

    index: int
    generation: int
    payload: U8
    """(payload_bytes,) writable view into the ring."""


@dataclass(frozen=True, slots=True)
class LaneStatistics:
    """Counters of one lane end since it was made."""

    slots: int
    free: int
    peak_used: int
    loaned: int
    published: int
    discarded: int
    refused_full: int
    answered: int
    stale_answers: int
    """Answers of another epoch or generation: late writes, refused."""


class SlotWriter(Protocol):
    """The sending end of one lane. Thread-safe. Never blocks."""

    @property
    def card(self) -> ModelCard:
        """The model the worker at the other end serves."""

    def loan(self, priority: Priority) -> Slot | None:
        """Lend a free slot to write into, or None when the ring is full for this class."""

    def publish(self, slot: Slot, header: SlotHeader) -> bool:
        """Hand the slot over. False: the doorbell could not be rung (full), the slot is free again.

        Delivery is not guaranteed: a dead worker loses what it had taken.
        """

    def discard(self, slot: Slot) -> None: ...

    def statistics(self) -> LaneStatistics: ...


class LaneEvents(Protocol):
    """What a lane tells the DPU's event loop, in the loop's thread."""

    def attached(self, writer: SlotWriter) -> None: ...

    def answered(self, answer: Answer) -> None:
        """The slot is already free again."""

    def lost(self, tasks: Sequence[int], reason: str) -> None:
        """The peer is gone; these tasks were published and will never be answered. The writer is dead."""


@quick_value(eq=False)
class Taken:
    """A slot in the worker's hands, until it is answered. `payload` is a read-only view into the ring."""

    index: int
    generation: int
    header: SlotHeader
    payload: U8
    taken_ns: int


class SlotReader(Protocol):
    """The worker's end of one lane. One thread."""

    def take(self) -> Taken | None:
        """Next published slot, or None. Never blocks."""

    def answer(self, taken: Taken, code: AnswerCode, rows: F32, started_ns: int, finished_ns: int) -> None:
        """Write the answer and give the slot back. rows: (k, 6) float32, see Answer."""


# --- the worker (worker/) ------------------------------------------------------------------------------------------


class Engine(Protocol):
    """Runs one folded model. `infer` by at most `parallel` threads at once, the rest by any one."""

    @property
    def card(self) -> ModelCard: ...

    @property
    def max_batch(self) -> int: ...

    @property
    def parallel(self) -> int:
        """Batches that may run at once: 2 where the copies of one overlap with the work of another, else 1."""

    def pin(self, region: U8) -> bool:
        """A lane attached: copy straight from its payload region, (n,) uint8, where that is possible. Blocks.

        Any thread, any number of times. False: payloads are copied as from anywhere else. The region stays mapped
        until `unpin` or `close`.
        """

    def unpin(self, region: U8) -> None:
        """The lane ended, and no batch reads from it any more. Nothing happens if it was not pinned."""

    def infer(self, payloads: Sequence[U8], color: F32) -> F32:
        """One batch: gather the payloads, run, return the rows.

        Args:
            payloads: b views of (payload_bytes,) uint8, I420 of the model's size.
            color: (b, 3, 4) float32, see pipelines/color.py.

        Returns:
            (b, top_k, 6) float32, rows as in Answer.

        Raises:
            EngineError: this batch failed. OutOfMemory: a smaller one may fit. DeviceLost: the process must end.
        """

    def close(self) -> None: ...


# --- results -> the world (sink/) ----------------------------------------------------------------------------------

Acked = Callable[[Alert, int], None]
"""Called in the loop with an alert and the monotonic ns at which the sink's peer acknowledged it."""


@dataclass(frozen=True, slots=True)
class SinkStatistics:
    """Counters of one sink since start. offered == acked + dropped + waiting + failed, at any instant."""

    offered: int
    acked: int
    dropped: int
    """Buffer full: oldest given up, counted."""
    failed: int
    """Refused by the peer for good: too large, say. What an operator can mend (rights, a missing topic) waits."""
    waiting: int
    connected: bool
    last_error: str = ""


class Sink(Protocol):
    """One way out. All calls from the event loop; none blocks."""

    @property
    def name(self) -> str: ...

    def alert(self, alert: Alert) -> None: ...

    def result(self, result: FrameResult) -> None:
        """A frame's detections, where the sink is configured for them."""

    def health(self, health: CameraHealth) -> None: ...

    async def run(self) -> None:
        """Deliver until cancelled; reconnects by itself. Returns never, raises only on a bug."""

    async def drain(self, deadline_s: float) -> None:
        """Deliver what waits, at most this long. `run` is still running."""

    def statistics(self) -> SinkStatistics: ...
