from __future__ import annotations

import pytest

from pipelines.source.stagger import Stagger, StaggerOptions

S = 1_000_000_000


def test_opens_are_spread() -> None:
    stagger = Stagger(StaggerOptions(opens_per_s=20))

    waits = [stagger.reserve(0) for _ in range(64)]

    assert waits[0] == 0
    assert waits[63] == pytest.approx(63 / 20)


def test_hung_opens_hold_nothing() -> None:
    """Nobody gives a reservation back, and still a late comer opens at once."""
    stagger = Stagger(StaggerOptions(opens_per_s=20))
    for _ in range(100):
        stagger.reserve(0)

    assert stagger.reserve(6 * S) == 0
