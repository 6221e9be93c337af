"""Fetch a known model: over HTTP, checked by length and SHA-256, whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.request import urlopen

from pipelines.errors import ModelError
from pipelines.model.atomic import part_path
from pipelines.model.known import CATALOG, KnownModel

Progress = Callable[[int, int], None]
"""Called with bytes so far and bytes in all, about once per chunk."""
CHUNK_BYTES = 1 << 18
TIMEOUT_S = 30.0
"""Longest silence of the server."""


def pull(
    name: str, folder: Path, progress: Progress | None = None, catalog: Mapping[str, KnownModel] = CATALOG
) -> Path:
    """Fetch a model into folder/NAME.onnx, unless the right file is there already. Blocks.

    Args:
        name: in the catalogue.
        folder: made if need be.
        progress: see Progress.
        catalog: of known models.

    Raises:
        ModelError: unknown name, the server cannot be reached or says no, or the file is not the one we know: then
            nothing is kept.
    """
    if name not in catalog:
        raise ModelError(f"no model named {name!r} can be fetched; known are {', '.join(sorted(catalog))}")
    known, target = catalog[name], folder / f"{name}.onnx"
    if target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == known.sha256:
        return target
    part = part_path(target)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with urlopen(known.url, timeout=TIMEOUT_S) as answer, part.open("wb") as out:
            found = _copy(answer, out, known.size_bytes, progress or (lambda _done, _all: None))
        if found != known.sha256:
            raise ModelError(f"{known.url}: the file is not the one we know: SHA-256 {found}, not {known.sha256}")
        part.replace(target)
    except (OSError, HTTPException) as error:  # URLError and timeouts are OSErrors
        raise ModelError(f"{known.url} cannot be fetched: {error}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return target


def _copy(source: BinaryIO, out: BinaryIO, size_bytes: int, progress: Progress) -> str:
    """Copy at most one chunk more than size_bytes: a server cannot fill the disk. Returns the SHA-256."""
    digest, done = hashlib.sha256(), 0
    while done <= size_bytes and (chunk := source.read(CHUNK_BYTES)):
        out.write(chunk)
        digest.update(chunk)
        done += len(chunk)
        progress(done, size_bytes)
    return digest.hexdigest()
