"""One request as a small lane of its own, so that the worker's loop sees nothing but lanes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import numpy as np

from pipelines.contracts import Taken
from pipelines.values import CAMERA_ID_BYTES, F32, AnswerCode, Letterbox, ModelCard, Priority, SlotHeader
from pipelines.worker.serve.status import check_code
from pipelines.worker.serve.tensor import InferRequest, Picture

_PRIORITY = {0: Priority.NORMAL, 1: Priority.HIGH, 2: Priority.NORMAL}
"""Triton counts from 1, the most urgent; beyond 2 is LOW."""


class Ticket:
    """Implements contracts.SlotReader over the pictures of one request. Event-loop thread.

    Bound: one picture per index. What is answered twice, or after `abandon`, is refused and counted.
    """

    def __init__(self, card: ModelCard, request: InferRequest, pictures: Sequence[Picture], deadline_ns: int) -> None:
        self.card = card
        """The model the pictures were made for."""
        now_ns = time.monotonic_ns()
        self._waiting = [
            Taken(index, 0, _header(card, request, picture, deadline_ns, now_ns), picture.planes, now_ns)
            for index, picture in enumerate(pictures)
        ]
        self._open = set(range(len(pictures)))
        self._rows: F32 = np.zeros((len(pictures), card.top_k, 6), np.float32)
        self._code = AnswerCode.OK
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.refused_answers = 0

    def take(self) -> Taken | None:
        """See SlotReader."""
        return self._waiting.pop(0) if self._waiting else None

    def answer(self, taken: Taken, code: AnswerCode, rows: F32, started_ns: int, finished_ns: int) -> None:
        """See SlotReader. The first code that is not OK is the request's."""
        del started_ns, finished_ns  # clocks of this host; the protocol has no place for them
        if taken.index not in self._open:
            self.refused_answers += 1
            return
        self._open.discard(taken.index)
        self._rows[taken.index, : len(rows)] = rows
        if self._code is AnswerCode.OK:
            self._code = code
        if not self._open and not self._done.done():
            self._done.set_result(None)

    async def detections(self) -> F32:
        """(b, top_k, 6) float32, when all pictures are answered.

        Raises:
            RequestError: one of them was refused or failed.
        """
        try:
            await self._done
        finally:
            self._waiting.clear()
            self._open.clear()  # cancelled: answers that still come are nobody's
        check_code(self._code)
        return self._rows


def _header(card: ModelCard, request: InferRequest, picture: Picture, deadline_ns: int, now_ns: int) -> SlotHeader:
    """What the batcher needs to know. The protocol says nothing of the source picture: all of the input is content."""
    return SlotHeader(
        task=request.task,
        camera=request.camera.encode()[:CAMERA_ID_BYTES].decode(errors="ignore") or "-",
        model=card.name,
        arrival_ns=now_ns,
        deadline_ns=deadline_ns,
        priority=_PRIORITY.get(request.priority, Priority.LOW),
        fit=Letterbox(card.input_w, card.input_h, card.input_w, card.input_h, 0, 0, card.input_w, card.input_h),
        color_range=picture.color_range,
        color_matrix=picture.color_matrix,
        payload_bytes=card.payload_bytes,
        shape=(card.input_h * 3 // 2, card.input_w),
    )
