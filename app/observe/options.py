"""Options of the log."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class LogOptions(BaseModel, frozen=True, extra="forbid"):
    """One line per change of state, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe lines to write.")
    format: Literal["json", "text"] = Field("json", description="json: one object per line; text: for a terminal.")
