"""The DPU's ends of a split detector: what is done before the slot is written, and after the answer came."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipelines.color import affine
from pipelines.model.runtime import Runner
from pipelines.model.split_parts import COLOR, OUTPUT, PLANES, Array, SplitParts, read_parts
from pipelines.values import F32, U8, ColorMatrix, ColorRange, ModelCard


class SplitEnds:
    """Sessions of pre and post, either of which may be empty. Any threads at once. Implements transport's Ends."""

    def __init__(self, folder: Path) -> None:
        """Nothing can be asked of it before `load`."""
        self._folder = folder
        self._parts: SplitParts
        self._runners: dict[str, Runner] = {}
        self.card: ModelCard
        """Of the whole."""
        self.lane_card: ModelCard
        """Of the part between."""

    def load(self) -> None:
        """Read the folder, load the parts; blocks. Raises ModelError."""
        parts = self._parts = read_parts(self._folder)
        self.card, self.lane_card = parts.card, parts.lane_card
        for name in ("pre", "post"):
            if name in parts.feeds:
                self._runners[name] = Runner(str(parts.file(name)), f"{self._folder}, {name}")

    @property
    def tensor(self) -> tuple[str, tuple[int, ...]]:
        """(dtype, shape) of what goes up: several tensors together are bytes."""
        up = self._parts.up
        return (up.dtypes[0], up.shapes[0]) if len(up.names) == 1 else ("uint8", (up.bytes,))

    def before(self, picture: U8, color_range: ColorRange, matrix: ColorMatrix, out: U8) -> dict[str, Array]:
        """Run pre on a picture, (h * w * 3 / 2,) uint8, and write what goes up. Blocks for pre.

        Returns:
            What post will want of it beside the answer.
        """
        card = self._parts.card
        shape = (1, card.input_h * 3 // 2, card.input_w)
        known = self._run("pre", {PLANES: picture.reshape(shape), COLOR: affine(card, color_range, matrix)[None]})
        self._parts.up.pack(known, out)
        wanted = self._parts.feeds.get("post", ())
        return {name: known[name].copy() for name in wanted if name in known}

    def after(self, rows: F32, kept: Mapping[str, Array]) -> F32:
        """Run post on an answer's rows. Blocks for post. Returns the whole's rows, (top_k, 6)."""
        known = self._run("post", {**kept, **self._parts.from_rows(rows)})
        return np.asarray(known[OUTPUT], np.float32).reshape(-1, 6)

    def _run(self, part: str, known: dict[str, Array]) -> dict[str, Array]:
        """All that is known after this part."""
        if part not in self._runners:
            return known
        return known | self._runners[part].run({name: known[name] for name in self._parts.feeds[part]})
