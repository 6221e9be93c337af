"""Worker, own detector, presence, nobody: in that order, each only if it can."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.standin.choice import Answerer, Case, choose

CASE = Case(worker=False, left_ns=100, audited=False, picture=True, present=True)


@pytest.mark.parametrize(
    ("change", "takes_ns", "answers"),
    [
        ({"worker": True}, 10, Answerer.WORKER),
        ({"worker": True, "left_ns": -1}, None, Answerer.WORKER),
        ({}, 100, Answerer.DETECTOR),
        ({}, 101, Answerer.PRESENCE),
        ({}, None, Answerer.PRESENCE),
        ({"present": False}, None, Answerer.PRESENCE),
        ({"picture": False}, 10, Answerer.PRESENCE),
        ({"present": None}, 100, Answerer.DETECTOR),
        ({"present": None}, None, Answerer.NOBODY),
        ({"left_ns": -1}, 0, Answerer.NOBODY),
        ({"audited": True}, 10, Answerer.NOBODY),
    ],
)
def test_who_answers(change: dict[str, int], takes_ns: int | None, answers: Answerer) -> None:
    assert choose(replace(CASE, **change), takes_ns) is answers  # type: ignore[arg-type]
