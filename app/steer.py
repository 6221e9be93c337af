"""What a worker does when it is asked about its models: the words of the control socket, the lifecycle's deeds."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from structlog.stdlib import BoundLogger

from app.control.worker import Request
from pipelines.errors import ModelError
from pipelines.worker.lifecycle import Lifecycle
from pipelines.worker.lifecycle_terms import Swap


class Steering:
    """Answers control requests for one worker; each change is logged. Event-loop thread."""

    def __init__(self, models: Lifecycle, log: BoundLogger) -> None:
        self._models, self._log = models, log

    async def answer(self, request: Request) -> dict[str, Any]:
        """See control/worker.py. Raises ModelError: refused, and nothing has changed."""
        if request.do == "status":
            return self._status()
        if request.do == "load" and not request.model:
            raise ModelError("load: name the model")
        try:
            swap = await self._swap(request)
        except ModelError as error:
            self._log.error("model.refused", asked=request.do, model=request.model, reason=str(error))
            raise
        said = _said(swap)
        self._log.info("model.loaded", asked=request.do, **said)
        return said

    async def _swap(self, request: Request) -> Swap:
        match request.do:
            case "reload":
                return await self._models.reload()
            case "rollback":
                return await self._models.rollback()
            case _:
                return await self._models.load(request.model)

    def _status(self) -> dict[str, Any]:
        before, statistics = self._models.before, self._models.statistics()
        return {
            "model": asdict(self._models.model),
            "card": asdict(self._models.card),
            "before": asdict(before) if before else None,
            **asdict(statistics),
        }


def _said(swap: Swap) -> dict[str, Any]:
    """A swap in milliseconds."""
    return {
        **asdict(swap.model),
        "name": swap.card.name,
        "checked_ms": round(swap.checked_ns / 1e6, 1),
        "ready_ms": round(swap.ready_ns / 1e6, 1),
        "drained_ms": round(swap.drained_ns / 1e6, 1) if swap.drained_ns else None,
        "reattached": swap.reattached,
    }
