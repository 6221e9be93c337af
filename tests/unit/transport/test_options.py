"""Lane options that could never work are refused with what to do."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pipelines.transport.options import LaneOptions


def test_reserves_must_leave_room() -> None:
    assert LaneOptions().slots == 32
    with pytest.raises(ValidationError, match=r"must be less than slots \(6\).*lower the reserves or raise slots"):
        LaneOptions(slots=6)


def test_every_option_is_documented_with_its_unit() -> None:
    for name, field in LaneOptions.model_fields.items():
        assert field.description, name
        assert not name.endswith("_s") or "seconds" in field.description, name
