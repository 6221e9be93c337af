"""From a detector's file to a version in a model directory: folded, checked, with reference pictures."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pipelines.errors import ModelError
from pipelines.model import directory, sample
from pipelines.model.card import find_card, read_card
from pipelines.model.directory import Version
from pipelines.model.options import FoldOptions
from pipelines.values import U8, ModelCard

Pictures = Callable[[ModelCard], Sequence[U8]]
"""Makes planes (h * 3 / 2, w) of somebody's own pictures, letterboxed as the card says."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was made."""

    version: Version
    differences: Mapping[int, float] = field(default_factory=dict)
    """See FoldReport; empty if the source was folded already."""
    notes: tuple[str, ...] = ()


def prepare(
    source: Path, target: Path, options: FoldOptions | None = None, pictures: Pictures = lambda card: ()
) -> Prepared:
    """Add a version to the model directory `target`, which is made if need be. Takes seconds; blocks.

    The model is called what the directory is called, unless the options name it.

    Raises:
        ModelError: as `fold`; options for a file that is folded already; or the directory cannot be written.
    """
    if not source.is_file():
        raise ModelError(f"{source}: no such file")
    options = options or FoldOptions()
    with tempfile.TemporaryDirectory(prefix="framegate-") as scratch:
        if find_card(source) is None:
            folded = Path(scratch) / directory.MODEL
            named = options.model_copy(update={"name": options.name or target.name})
            differences, notes = _fold(source, folded, named)
        elif options != FoldOptions():
            raise ModelError(f"{source} is folded already: what to fold it with comes too late; take the original")
        else:
            folded, differences, notes = source, {}, ()
        card = read_card(folded)
        asked = sample.with_pictures(sample.synthetic(card), card, pictures(card))
        reference = sample.to_bytes(sample.answered(asked, folded))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return Prepared(directory.add(target, folded, source.name, now, reference), differences, notes)


def _fold(source: Path, folded: Path, options: FoldOptions) -> tuple[Mapping[int, float], tuple[str, ...]]:
    from pipelines.model.fold import fold  # needs `onnx`, which a folded file does not

    report = fold(source, folded, options)
    return report.differences, report.notes
