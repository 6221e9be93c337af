"""Another model serves while the one that should does not: loaded when that turns bad, and given back by itself.

| state          | then                                                                                           |
|----------------|------------------------------------------------------------------------------------------------|
| the own serves | it turns bad (health.py): the backup is loaded; if that fails, again after a while             |
| backup serves  | after a while the own is loaded again, which checks it first in a process of its own; if it is |
|                | refused, or turns bad again soon, the next while is twice as long                              |

Loading goes the way of every load (lifecycle.py): nothing stops for it, and lanes attach again if the cards differ.
Whoever loads a third model by hand ends this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pipelines.errors import ModelError
from pipelines.worker.lifecycle import Lifecycle

_MOST = 16
"""Longest while, in first ones."""


class Backup:
    """Event-loop thread."""

    def __init__(
        self, models: Lifecycle, reference: str, again_s: float, told: Callable[[str, str], None] = lambda *_: None
    ) -> None:
        """
        Args:
            models: `turned_bad` is its to call.
            reference: The backup: a name, a file, a model directory.
            again_s: The first while.
            told: Called with what is done or was refused, and the model's reference or the reason; for the log.
        """
        self._models, self._reference, self._first_s, self._told = models, reference, again_s, told
        self._wait_s = again_s
        self._bad = asyncio.Event()

    def turned_bad(self) -> None:
        """The model that serves answers nothing well."""
        self._bad.set()

    async def run(self, own: str = "") -> None:
        """Until cancelled. `own`: the model that should serve, if the backup serves from the start."""
        if own:
            await self._go_back(own)
        while True:
            await self._bad.wait()
            self._bad.clear()
            own = self._models.model.reference
            if own != self._reference and await self._stand_in(own):
                await self._go_back(own)

    async def _stand_in(self, own: str) -> bool:
        """Load the backup, as long as the own model is bad. True: it serves."""
        while self._models.bad and self._models.model.reference == own:
            if await self._load(self._reference):
                return True
            await asyncio.sleep(self._first_s)
        return False

    async def _go_back(self, own: str) -> None:
        while True:
            await asyncio.sleep(self._wait_s)
            if self._models.model.reference != self._reference:
                return
            wait_s, self._wait_s = self._wait_s, min(2 * self._wait_s, _MOST * self._first_s)
            if await self._load(own):
                asyncio.get_running_loop().call_later(wait_s, self._forgive, own)
                return

    def _forgive(self, own: str) -> None:
        """It has served for as long as it was put off: the next time is the first time."""
        if self._models.model.reference == own and not self._models.bad:
            self._wait_s = self._first_s

    async def _load(self, reference: str) -> bool:
        try:
            await self._models.load(reference)
        except ModelError as error:
            self._told("refused", str(error))
            return False
        self._told("loaded", reference)
        return True
