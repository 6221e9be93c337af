"""An engine around another that fails when it is told to, by a word in a file.

| word       | the next batch                                                    |
|------------|-------------------------------------------------------------------|
| error      | raises EngineError                                                |
| memory N   | raises OutOfMemory if it is larger than N                         |
| nan        | answers a value that is not a number, to its first task           |
| shape      | answers a row too few                                             |
| lost       | raises DeviceLost                                                 |
| hang       | never ends                                                        |
| slow MS    | takes so many milliseconds longer for each of its tasks           |

A fault lasts until the file is gone; of `lost` and `hang` the file is removed first, as the next process would do the
same again. `once WORD` removes it for the others too. `WORD of MODEL` concerns the model whose card has that name only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.contracts import Engine
from pipelines.errors import DeviceLost, EngineError, OutOfMemory
from pipelines.values import F32, U8, ModelCard

_ENDS_THE_PROCESS = ("lost", "hang")


def inject(file: Path, fault: str) -> None:
    """From the next batch on. The file is whole whenever it is there; removing it ends the fault."""
    fresh = file.with_suffix(".new")
    fresh.write_text(fault)
    fresh.rename(file)


class FaultyEngine:
    """Implements contracts.Engine."""

    def __init__(self, inner: Engine, file: Path) -> None:
        self._inner, self._file = inner, file

    @property
    def card(self) -> ModelCard:
        return self._inner.card

    @property
    def max_batch(self) -> int:
        return self._inner.max_batch

    @property
    def parallel(self) -> int:
        return self._inner.parallel

    @property
    def title(self) -> str:
        return f"faulty {getattr(self._inner, 'title', type(self._inner).__name__)}"

    def pin(self, region: U8) -> bool:
        return self._inner.pin(region)

    def unpin(self, region: U8) -> None:
        self._inner.unpin(region)

    def infer(self, payloads: Sequence[U8], color: F32) -> F32:
        fault = self._fault()
        self._before(fault, len(payloads))
        rows = self._inner.infer(payloads, color)
        if fault == ["nan"]:
            rows[0, 0, 4] = np.nan
        return rows[:, :-1] if fault == ["shape"] else rows

    def close(self) -> None:
        self._inner.close()

    def _fault(self) -> list[str]:
        try:
            words = self._file.read_text().split()
        except FileNotFoundError:
            return []
        if "of" in words:
            cut = words.index("of")
            if words[cut + 1] != self.card.name:
                return []
            words = words[:cut]
        if words[0] in (*_ENDS_THE_PROCESS, "once"):
            self._file.unlink(missing_ok=True)
        return words[1:] if words[0] == "once" else words

    def _before(self, fault: list[str], size: int) -> None:
        match fault:
            case ["error"]:
                raise EngineError("the fault that was asked for")
            case ["memory", most] if size > int(most):
                raise OutOfMemory(f"no room for {size}, as asked for")
            case ["lost"]:
                raise DeviceLost("the device was lost, as asked for")
            case ["slow", ms]:
                time.sleep(size * float(ms) / 1e3)
            case ["hang"]:
                threading.Event().wait()
