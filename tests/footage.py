"""The development footage and models, where a machine has them: never part of the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("FRAMEGATE_FOOTAGE", Path(__file__).parents[2] / "shared" / "data"))


def footage(relative: str) -> Path:
    """Path of one development file, or skip the test, saying why."""
    path = DATA / relative
    if not path.exists():
        pytest.skip(f"development footage {relative} is not on this machine (set FRAMEGATE_FOOTAGE)")
    return path
