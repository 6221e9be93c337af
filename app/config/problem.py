"""What is wrong with a configuration, where, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pipelines.errors import ConfigError

_PRINTABLE_KEY = re.compile(r"[\w.-]{1,64}")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something was written. Lines count from 1; the column only tells neighbours on a line apart."""

    file: str
    line: int
    column: int = 0


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake. `sentence` says what to do and never holds a value from the file: it may be a secret."""

    place: Place
    key: str
    """Dotted, as in `cameras.door.url`; empty when the file as a whole is meant."""
    sentence: str

    def __str__(self) -> str:
        where = f"{self.place.file}:{self.place.line}: "
        return f"{where}{self.key}: {self.sentence}" if self.key else f"{where}{self.sentence}"


class ConfigProblems(ConfigError):
    """All problems of one configuration, one line each, in the order of the files."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def printable_key(key: str) -> str:
    """A key as it may be shown: a key that does not look like one may be a value in the wrong place, even a secret."""
    if _PRINTABLE_KEY.fullmatch(key):
        return key
    start = re.match(r"[\w.-]{0,16}", key)
    return f"{start.group() if start else ''}…"


def dotted(path: Iterable[str | int]) -> str:
    """`cameras.door.masks[0]` from ("cameras", "door", "masks", 0)."""
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f"{'.' if out else ''}{printable_key(part)}"
    return out
