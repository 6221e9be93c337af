"""A model directory: every version of one detector that was prepared, and which of them is current.

    people/                 its name is the model's
      CURRENT               one line, the number of the version used where the directory is named
      1/                    versions are never changed; the next one is the greatest number plus one
        model.onnx          folded
        card.json           format, sha256 of model.onnx, source and its time, and the model's card
        reference.npz       pictures and what this model answered when it was prepared (sample.py)

A model is asked for as DIR (its current version), DIR@N, or DIR@newest. Files are written beside and renamed: a version
is whole or not there. Nothing here is ever run or unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.card import from_json
from pipelines.errors import ModelError
from pipelines.model.atomic import write_atomically
from pipelines.model.card import read_card
from pipelines.values import ModelCard

FORMAT = 1
MODEL, CARD, REFERENCE, CURRENT = "model.onnx", "card.json", "reference.npz", "CURRENT"
NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class Version:
    """One prepared version."""

    directory: Path
    number: int
    sha256: str
    """Of the folded file, when it was prepared."""
    source: str
    """Name of the file it was prepared from."""
    prepared: str
    """When, UTC, ISO 8601."""
    card: ModelCard

    @property
    def path(self) -> Path:
        """The folded file."""
        return self.directory / str(self.number) / MODEL

    @property
    def reference(self) -> Path:
        return self.path.with_name(REFERENCE)

    def verify(self) -> None:
        """Raises ModelError if the folded file is not the one that was prepared."""
        found = sha256_of(self.path)
        if found != self.sha256:
            raise ModelError(
                f"{self.path}: SHA-256 {found[:12]}..., but {self.sha256[:12]}... was prepared: the file was changed "
                "or is damaged; prepare it again"
            )


def sha256_of(path: Path) -> str:
    """Raises ModelError if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error


def is_model_directory(path: Path) -> bool:
    return bool(numbers(path))


def numbers(directory: Path) -> list[int]:
    """Versions that are there, ascending; none if it is no model directory."""
    if not directory.is_dir():
        return []
    return sorted(int(entry.name) for entry in directory.iterdir() if _is_version(entry))


def current(directory: Path) -> int:
    """The version used where the directory is named; the newest if it does not say.

    Raises:
        ModelError: no model directory, or it names a version that is not there.
    """
    there = numbers(directory)
    if not there:
        raise ModelError(f"{directory}: not a model directory (no version in it): see framegate models prepare")
    file = directory / CURRENT
    if not file.is_file():
        return there[-1]
    text = file.read_text().strip()
    if text not in map(str, there):
        raise ModelError(f"{file} names version {text!r}, there are {', '.join(map(str, there))}")
    return int(text)


def set_current(directory: Path, number: int) -> None:
    """Raises ModelError: no such version, or the file cannot be written."""
    if number not in numbers(directory):
        raise ModelError(f"{directory} has no version {number}")
    write_atomically(directory / CURRENT, f"{number}\n".encode())


def read_version(directory: Path, number: int) -> Version:
    """Raises ModelError: not there, or its card cannot be read."""
    file = directory / str(number) / CARD
    try:
        data: dict[str, Any] = json.loads(file.read_text())
        if data["format"] != FORMAT:
            raise ModelError(f"{file}: format {data['format']}, this program reads {FORMAT}")
        card = from_json(json.dumps(data["card"]))
        return Version(directory, number, str(data["sha256"]), str(data["source"]), str(data["prepared"]), card)
    except OSError as error:
        there = ", ".join(map(str, numbers(directory))) or "none"
        raise ModelError(f"{directory} has no version {number}; there are {there}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{file} cannot be read: {error!r}") from error


def find(reference: str | Path) -> Version | None:
    """The version that DIR, DIR@N or DIR@newest means; None if it means no directory.

    Raises:
        ModelError: a directory, but no such version, or its file is not the one that was prepared.
    """
    path, mark, wanted = str(reference).rpartition("@")
    directory = Path(path) if mark and Path(path).is_dir() else Path(reference)
    if not directory.is_dir():
        return None
    if directory == Path(reference):
        number = current(directory)
    elif wanted == NEWEST:
        number = max(numbers(directory), default=0)
    elif wanted.isdecimal():
        number = int(wanted)
    else:
        raise ModelError(f"{reference}: after @ stands a version's number, or {NEWEST}")
    version = read_version(directory, number)
    version.verify()
    return version


def version_of(path: Path) -> Version | None:
    """The version whose folded file this is; None if it is a file of its own."""
    inside = path.name == MODEL and path.parent.name.isdecimal() and path.with_name(CARD).is_file()
    return read_version(path.parent.parent, int(path.parent.name)) if inside else None


def add(directory: Path, folded: Path, source: str, prepared: str, reference: bytes) -> Version:
    """Add a folded file as the next version. The first one becomes current, later ones do not by themselves.

    Args:
        source: Name of the file it was made from, for people.
        prepared: When, UTC, ISO 8601.
        reference: Content of reference.npz.

    Raises:
        ModelError: not a folded file, or the directory cannot be written; nothing is left behind then.
    """
    card = read_card(folded)
    about = {"format": FORMAT, "sha256": sha256_of(folded), "source": source, "prepared": prepared}
    part = directory / f".{os.getpid()}.part"
    try:
        part.mkdir(parents=True)
        shutil.copyfile(folded, part / MODEL)
        (part / CARD).write_text(json.dumps(about | {"card": asdict(card)}, indent=2, ensure_ascii=False) + "\n")
        (part / REFERENCE).write_bytes(reference)
        number = _rename_to_next(directory, part)
    except OSError as error:
        raise ModelError(f"{directory} cannot be written: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    if not (directory / CURRENT).is_file():
        set_current(directory, number)
    return read_version(directory, number)


def _rename_to_next(directory: Path, part: Path) -> int:
    """Another process may take the same number first; then the rename fails, as its directory is not empty."""
    while True:
        number = max(numbers(directory), default=0) + 1
        try:
            part.rename(directory / str(number))
        except OSError:
            if number in numbers(directory):
                continue
            raise
        return number


def _is_version(entry: Path) -> bool:
    return entry.name.isdecimal() and entry.name[0] != "0" and (entry / CARD).is_file()
