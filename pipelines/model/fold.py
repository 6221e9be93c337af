"""Fold a detector: colour conversion and normalisation in front, decoding and top-K behind, batch and size as wanted.

    original   images float [1, 3, h, w]                              -> the family's head
    folded     planes uint8 [B, H * 3 / 2, W], color float [B, 3, 4]  -> detections float [B, K, 6]

The check is part of folding: what differs from the original is refused, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.errors import ModelError
from pipelines.model.assemble import assemble
from pipelines.model.atomic import write_atomically
from pipelines.model.change import Change
from pipelines.model.check import check_folded, row_difference, same_outputs
from pipelines.model.describe import describe
from pipelines.model.graph import metadata
from pipelines.model.grid import Grid
from pipelines.model.options import FoldOptions
from pipelines.model.original import Original, fix_sizes_input, open_original
from pipelines.model.recognise import Head, recognise, settle_unit
from pipelines.model.reference import candidates
from pipelines.model.reshape import reshape
from pipelines.model.runtime import Runner
from pipelines.values import F32, ModelCard

USUAL = Grid((8, 16, 32))
"""Grid of the heads whose candidates are chosen inside the model: what their constants run over."""
VERSION = 1
"""Of folding itself, part of the cache key: raise it when the same file and options give another result."""


@dataclass(frozen=True, slots=True)
class FoldReport:
    """What was folded, and how near it is to the original."""

    card: ModelCard
    original_wh: tuple[int, int]
    differences: Mapping[int, float]
    """Batch size -> largest absolute difference (px of a box, score) to the unfolded model at the card's size."""
    rewriting: float
    """Largest absolute difference of the raw head between the file as it came and its rewritten graph, at the file's
    own size."""
    notes: tuple[str, ...] = ()


def fold(source: Path, target: Path, options: FoldOptions | None = None) -> FoldReport:
    """Fold one model file into another. Takes seconds; blocks.

    Raises:
        ModelError: not a detector we know, cannot have this size or a dynamic batch, or the check failed. Names the
            node where there is one. `target` is not touched then.
    """
    options = options or FoldOptions()
    original = open_original(source, options)
    head, rewriting = _examine(original, options)
    fix_sizes_input(original.model, original.wh)
    body = reshape(original.model, original.picture, Change(original.own_wh, original.wh, head.grid or USUAL))
    runner = Runner(body.SerializeToString(), f"{source} at {original.wh[0]}x{original.wh[1]}")
    shapes = {n: v.shape for n, v in runner.run({original.picture: _noise(original.wh)}).items()}
    head = recognise(shapes, original.wh, head.name)
    card = describe(source, metadata(original.model), head, original.wh, options)
    folded = assemble(body, original.picture, original.element_type, card, head).SerializeToString()
    differences = check_folded(runner, original.picture, Runner(folded, f"{source}, folded"), card, head)
    if not max(differences.values()) <= options.tolerance:
        raise ModelError(
            f"{source}: folded and original differ by {max(differences.values()):.2g} (batch: difference "
            f"{differences}), more than {options.tolerance:g}: some node depends on batch or size in a way that "
            "folding cannot rewrite"
        )
    write_atomically(target, folded)
    named = bool(options.classes or metadata(original.model).get("names"))
    return FoldReport(card, original.own_wh, differences, rewriting, _notes(head, card, named, options.top_k))


def _examine(original: Original, options: FoldOptions) -> tuple[Head, float]:
    """Run the model as it came, recognise its head, and see that rewriting changes nothing at its own size."""
    own = original.own_wh
    fix_sizes_input(original.model, own)
    feeds = {original.picture: _noise(own)}
    outputs = Runner(original.model.SerializeToString(), str(original.path)).run(feeds)
    try:
        head = recognise({name: value.shape for name, value in outputs.items()}, own, options.family)
        head = settle_unit(head, outputs[head.boxes].reshape(-1, outputs[head.boxes].shape[-1])[:, :4], options.family)
    except ModelError as error:
        raise ModelError(f"{original.path}: {error}") from error
    rewritten = reshape(original.model, original.picture, Change(own, own, head.grid or USUAL))
    again = Runner(rewritten.SerializeToString(), f"{original.path} with a dynamic batch").run(feeds)
    difference = same_outputs(outputs, again)
    if head.family.nms_free:  # selected by rank: of nearly equal scores either may come first
        before, after = candidates(outputs, head, own), candidates(again, head, own)
        difference = min(difference, row_difference(after, before))
    if not difference <= options.tolerance:
        raise ModelError(f"{original.path}: making the batch dynamic changes its answer by {difference:.2g}")
    return head, difference


def _noise(wh: tuple[int, int]) -> F32:
    return np.random.default_rng(0).random((1, 3, wh[1], wh[0]), np.float32)


def _notes(head: Head, card: ModelCard, named: bool, top_k: int) -> tuple[str, ...]:
    """What a person should know about this result. `named`: somebody or the file named the classes."""
    notes = []
    if not named and card.classes[0] == "class_0":
        notes.append(f"the file does not name its {len(card.classes)} classes: give them, or alerts say class_0 ...")
    if not named and not head.classes:
        notes.append("this head does not say how many classes it has: COCO's names are assumed")
    if card.top_k < top_k:
        notes.append(f"the head has {card.top_k} candidates only")
    return tuple(notes)
