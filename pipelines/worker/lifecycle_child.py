"""A question answered by a process of its own: what crashes, hangs or eats memory there does no harm here."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pipelines.errors import ModelError

_STDERR_BYTES = 1 << 16


async def ask_child(command: Sequence[str], timeout_s: float) -> dict[str, Any]:
    """Run a command that prints one JSON object; killed if it takes too long, or when this is cancelled.

    Raises:
        ModelError: it failed (its last line on stderr says why), crashed, hung or printed something else.
    """
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        process_group=0,  # Ctrl-C is not for it; but our session, as its low priority counts within that only
    )
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await child.communicate()
    except TimeoutError as error:
        raise ModelError(f"the check took longer than {timeout_s:g} s and was ended") from error
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    if child.returncode:
        raise ModelError(_why(child.returncode, err))
    try:
        answer = json.loads(out)
    except ValueError as error:
        raise ModelError(f"the check said something else than expected: {out[:200]!r}") from error
    if not isinstance(answer, dict):
        raise ModelError(f"the check said something else than expected: {out[:200]!r}")
    return answer


def _why(code: int, stderr: bytes) -> str:
    """The error a command of ours prints last, or how it died."""
    lines = stderr[-_STDERR_BYTES:].decode(errors="replace").strip().splitlines()
    if code > 0:
        return lines[-1].removeprefix("framegate: ") if lines else f"the check ended with code {code} and no word"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"the check was ended by {name}: the model crashes, or the machine has not memory enough for it"
