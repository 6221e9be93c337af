"""Files that are whole or not there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pipelines.errors import ModelError


def part_path(target: Path) -> Path:
    """Where this process writes what will become `target`: the same folder, so that the rename is atomic."""
    return target.with_name(f".{target.name}.{os.getpid()}.part")


def write_atomically(target: Path, content: bytes) -> None:
    """Write a file and rename it into place; its folder is made.

    Raises:
        ModelError: the folder cannot be written; names it.
    """
    part = part_path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(target)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise ModelError(f"{target} cannot be written: {error}") from error
