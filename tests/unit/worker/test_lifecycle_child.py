"""Whatever the child does, the asker gets an answer or a reason."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from pipelines.errors import ModelError
from pipelines.worker.lifecycle_child import ask_child


async def ask(code: str, timeout_s: float = 20) -> dict[str, object]:
    return await ask_child([sys.executable, "-S", "-c", code], timeout_s)


async def test_an_answer() -> None:
    assert await ask("""print('{"path": "x"}')""") == {"path": "x"}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys; sys.exit('warning: old\\nframegate: the model is bad')", "^the model is bad$"),
        ("raise SystemExit(3)", "code 3 and no word"),
        ("import os; os.kill(os.getpid(), 9)", "ended by SIGKILL: the model crashes"),
        ("print('hello')", "something else than expected"),
        ("print('[1]')", "something else than expected"),
    ],
)
async def test_a_reason(code: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        await ask(code)


async def test_a_child_that_hangs_is_ended() -> None:
    with pytest.raises(ModelError, match=r"longer than 0\.1 s"):
        await ask("import time; time.sleep(60)", timeout_s=0.1)


async def test_a_child_whose_asker_is_cancelled_is_ended(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    code = f"import os, time; open({str(fifo)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    asking = asyncio.create_task(ask(code, timeout_s=60))
    pid = int(await asyncio.to_thread(fifo.read_text))
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_it_is_in_the_asker_s_session_where_its_priority_counts_and_in_a_group_of_its_own() -> None:
    said = await ask('import os; print(\'{"session": %d, "group": %d}\' % (os.getsid(0), os.getpgid(0)))')
    assert said["session"] == os.getsid(0)
    assert said["group"] != os.getpgid(0)
