"""Fills the cache: each source drawn once, encoded in every way, and seen by the reference; each file decoded once.

Everything is kept under the hash of what it was made from: the source's own description, the code that draws it, the
recipe, the detector. Delete the folder to free the disk; nothing else depends on it.
"""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scripts.bench.recall.eye import as_frame
from scripts.bench.recall.tape import Sees, Tape, load, record, save
from scripts.bench.scenes.catalog import Shot
from scripts.bench.scenes.encoding import Encoder, Recipe
from scripts.bench.scenes.picture import FPS, Source, frames

_HERE = Path(__file__).parent
_DRAWING = ("picture", "camera", "drawn", "weather", "footage")
_EMPTY_STEP = 5
"""Of stretches in which nobody can be, the detector sees each fifth picture: no event can begin there."""
_MARGIN_S = 1.0

Scores = npt.NDArray[np.float32]
Tick = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Cache:
    """Where things are. `detector`: the first hex digits of the folded model's hash."""

    folder: Path
    detector: str

    def source(self, source: Source) -> Path:
        return self.folder / f"{source.name}-{_digest(repr(source), _DRAWING_CODE)}"

    def reference(self, source: Source) -> Path:
        return self.source(source) / f"reference-{self.detector}-{_EYE_CODE}.npy"

    def clip(self, source: Source, recipe: Recipe) -> Path:
        return self.source(source) / f"{recipe.label}-{_ENCODING_CODE}.ts"

    def tape(self, source: Source, recipe: Recipe) -> Path:
        return self.source(source) / f"{recipe.label}-{_ENCODING_CODE}-{self.detector}-{_TAPE_CODE}"


def looks(source: Source) -> Callable[[int], bool]:
    """Which pictures of a source the detector sees."""
    seen = np.zeros(frames(source.seconds), np.bool_)
    seen[::_EMPTY_STEP] = True
    for begin, end in source.active_s():
        seen[max(0, round((begin - _MARGIN_S) * FPS)) : round((end + _MARGIN_S) * FPS)] = True
    return lambda number: bool(seen[number])


def shoot(shot: Shot, cache: Cache, eye: Sees, tick: Tick) -> None:
    """Draw a source once: encode it in every way and let the reference see it, as far as the cache lacks these."""
    source = shot.source
    cache.source(source).mkdir(parents=True, exist_ok=True)
    clips = [cache.clip(source, recipe) for recipe in shot.recipes]
    missing = [(clip, recipe) for clip, recipe in zip(clips, shot.recipes, strict=True) if not clip.exists()]
    reference = cache.reference(source)
    if not missing and reference.exists():
        return
    looked_at = looks(source)
    scores = np.zeros(frames(source.seconds), np.float32)
    with ExitStack() as stack:
        encoders = []
        for clip, recipe in missing:
            encoder = Encoder(clip.with_suffix(f".{os.getpid()}"), recipe, source.wh)
            stack.callback(encoder.close)
            encoders.append(encoder)
        for number, picture in enumerate(source.pictures()):
            for encoder in encoders:
                encoder.add(picture)
            if looked_at(number):
                scores[number] = eye.score(as_frame(picture, number))
            elif number:
                scores[number] = scores[number - 1]
            tick()
    for clip, _ in missing:
        os.replace(clip.with_suffix(f".{os.getpid()}"), clip)
    unfinished = reference.with_suffix(f".{os.getpid()}.npy")
    np.save(unfinished, scores)
    os.replace(unfinished, reference)


def reference(shot: Shot, cache: Cache) -> Scores:
    """(n,) by picture: the detector's best score in the pristine picture."""
    scores: Scores = np.load(cache.reference(shot.source))
    return scores


def taped(shot: Shot, recipe: Recipe, cache: Cache, eye: Sees, tick: Tick) -> Tape:
    """The tape of one scene, from the cache or made now."""
    clip, folder = cache.clip(shot.source, recipe), cache.tape(shot.source, recipe)
    if (folder / "tape.npz").exists():
        return load(folder, clip)
    tape = record(clip, eye, looks(shot.source), tick)
    unfinished = folder.with_suffix(f".{os.getpid()}")
    unfinished.mkdir(parents=True, exist_ok=True)
    save(tape, unfinished)
    os.replace(unfinished, folder)
    return tape


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _code(*files: Path) -> str:
    """What files compute: neither comments nor docstrings nor layout count."""
    return _digest(*(_bare(ast.parse(file.read_text())) for file in files))


def _bare(tree: ast.AST) -> str:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            said = [one for one in body if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)]
            node.body = [one for one in body if one not in said]  # type: ignore[attr-defined]
    return ast.dump(tree)


_SCENES = _HERE.parent / "scenes"
_FOOTAGE = _HERE.parents[1] / "footage"
_DRAWING_CODE = _code(*(_SCENES / f"{name}.py" for name in _DRAWING), *sorted(_FOOTAGE.glob("*.py")))
_ENCODING_CODE = _code(_SCENES / "encoding.py")
_EYE_CODE = _code(_HERE / "eye.py")
_TAPE_CODE = _code(_HERE / "eye.py", _HERE / "tape.py")
