"""What a freed model leaves behind in the process."""

from __future__ import annotations

import ctypes


def give_back_memory() -> None:
    """Hand freed pages back to the system: glibc keeps a freed model's otherwise, up to a model's size per load.

    glibc's malloc_trim(3); tens of milliseconds, without the interpreter's lock. Other C libraries have none.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
