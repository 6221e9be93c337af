"""Lanes of a split model: pumps and event loop see the whole model, the lane carries what crosses to its middle part.

A pump gets a picture of its own to write into, beside the slot; at publish the DPU's first part turns it into the
slot's tensor. The picture stays as it is until the answer, for whoever must answer in the worker's place. The last
part runs in a thread of its own before the answer is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pipelines.contracts import LaneStatistics, Slot, SlotWriter
from pipelines.transport.answer import ROW_BYTES
from pipelines.transport.layout import MAX_NDIM
from pipelines.transport.workers import FrontEvents
from pipelines.values import (
    F32,
    FAILED_CODES,
    U8,
    Answer,
    AnswerCode,
    ColorMatrix,
    ColorRange,
    ModelCard,
    PixelFormat,
    Priority,
    SlotHeader,
    quick_value,
)

Kept = Mapping[str, npt.NDArray[Any]]


class Ends(Protocol):
    """The DPU's parts; model/split_ends.py has them."""

    @property
    def card(self) -> ModelCard:
        """Of the whole."""

    @property
    def lane_card(self) -> ModelCard:
        """Of the part between."""

    @property
    def tensor(self) -> tuple[str, tuple[int, ...]]:
        """(dtype, shape) of what goes up."""

    def before(self, picture: U8, color_range: ColorRange, matrix: ColorMatrix, out: U8) -> Kept:
        """Write what goes up; returns what stays. Any thread."""

    def after(self, rows: F32, kept: Kept) -> F32:
        """The whole's rows. Any thread."""


@quick_value(eq=False)
class _PictureSlot(Slot):
    """What a pump has in hand: `payload` is a picture, `lane` the slot behind it."""

    lane: Slot


@dataclass(frozen=True, slots=True, eq=False)
class _Out:
    """Of a task that is out."""

    picture: U8
    kept: Kept


class TensorWriter:
    """The SlotWriter of one attach. Thread-safe; `publish` blocks for the first part."""

    def __init__(self, lane: SlotWriter, ends: Ends, out: dict[int, _Out]) -> None:
        self._lane, self._ends, self._out = lane, ends, out

    @property
    def card(self) -> ModelCard:
        """Of the whole."""
        return self._ends.card

    def loan(self, priority: Priority) -> Slot | None:
        slot = self._lane.loan(priority)
        if slot is None:
            return None
        picture = np.empty(self._ends.card.payload_bytes, np.uint8)
        return _PictureSlot(slot.index, slot.generation, picture, slot)

    def publish(self, slot: Slot, header: SlotHeader) -> bool:
        """See SlotWriter. Raises also what the first part raises; the slot then still is the caller's."""
        assert isinstance(slot, _PictureSlot)
        size = self._ends.lane_card.payload_bytes
        kept = self._ends.before(slot.payload, header.color_range, header.color_matrix, slot.lane.payload[:size])
        dtype, shape = self._ends.tensor
        crossing = replace(header, payload_bytes=size, pixel_format=PixelFormat.NONE, dtype=dtype, shape=shape)
        self._out[header.task] = _Out(slot.payload, kept)  # before the doorbell: the answer may be quick
        sent = False
        try:
            sent = self._lane.publish(slot.lane, crossing)
        finally:
            if not sent:
                self._out.pop(header.task, None)
        return sent

    def discard(self, slot: Slot) -> None:
        assert isinstance(slot, _PictureSlot)
        self._lane.discard(slot.lane)

    def statistics(self) -> LaneStatistics:
        return self._lane.statistics()


class TensorEvents:
    """FrontEvents between the lanes and whoever sees whole models only. Event loop, but for the last part's thread."""

    def __init__(self, ends: Ends, events: FrontEvents) -> None:
        self._ends, self._events = ends, events
        self._out: dict[int, _Out] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="split-post")
        self._loop: asyncio.AbstractEventLoop | None = None

    def attached(self, writer: SlotWriter) -> None:
        """Of workers that were not refused (`misfit`). One that serves a whole model is nothing to us."""
        self._loop = asyncio.get_running_loop()
        if writer.card.tensor_bytes:
            self._events.attached(TensorWriter(writer, self._ends, self._out))
        else:
            self._events.attached(writer)

    def answered(self, answer: Answer) -> None:
        out = self._out.pop(answer.task, None)
        if out is None:
            self._events.answered(answer)
        elif answer.code is AnswerCode.OK:
            self._thread.submit(self._finish, answer, out)
        else:
            failed = answer.code in FAILED_CODES
            self._events.answered(replace(answer, payload=out.picture if failed else None))

    def lost(self, tasks: Sequence[int], reason: str) -> None:
        self._forget(tasks)
        self._events.lost(tasks, reason)

    def gave_up(self, tasks: Sequence[int], reason: str) -> None:
        self._forget(tasks)
        self._events.gave_up(tasks, reason)

    def close(self) -> None:
        """End the thread; what it has in hand is told no more. Blocks for it."""
        self._thread.shutdown(cancel_futures=True)

    def _forget(self, tasks: Sequence[int]) -> None:
        for task in tasks:
            self._out.pop(task, None)

    def _finish(self, answer: Answer, out: _Out) -> None:
        """In the thread: the last part."""
        try:
            told = replace(answer, rows=self._ends.after(answer.rows, out.kept))
        except Exception:  # whatever it is, it failed this task
            told = replace(answer, code=AnswerCode.BAD_OUTPUT, payload=out.picture)
        self._tell(lambda: self._events.answered(told))

    def _tell(self, word: Callable[[], None]) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop has closed; what is open was settled before
            self._loop.call_soon_threadsafe(word)


def misfit(ends: Ends | None, card: ModelCard) -> str:
    """Why this process's parts and what a worker serves do not belong together, and what to do; empty: they do."""
    if not card.tensor_bytes:
        return ""
    if ends is None:
        return (
            f"serves the middle part of the split model {card.name}: name the folder with the other parts as "
            "model.detector here too"
        )
    own, (_, shape) = ends.lane_card, ends.tensor
    if own.sha256 != card.sha256:
        return (
            f"serves the middle part of {card.name}, split as {card.sha256[:12]}; the parts here were split as "
            f"{own.sha256[:12]}: give both sides the same folder"
        )
    if own.tensor_bytes > card.payload_bytes or own.top_k > card.top_k:
        return (
            f"has slots that cannot hold what crosses in {card.name}: {own.tensor_bytes:,} bytes up and "
            f"{own.top_k * ROW_BYTES:,} down; they hold {card.payload_bytes:,} and {card.top_k * ROW_BYTES:,}"
        )
    if len(shape) > MAX_NDIM:
        return f"cannot be told what crosses in {card.name}: {len(shape)} dimensions, a slot's header has {MAX_NDIM}"
    return ""
