"""A change of input size, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.model.grid import LEVEL_STRIDES, Grid

Sides = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Change:
    """From which input size (w, h) to which. `grid`: the head's; None if its candidates do not follow the size."""

    old_wh: Sides
    new_wh: Sides
    grid: Grid | None

    @property
    def resized(self) -> bool:
        return self.old_wh != self.new_wh

    @property
    def candidates(self) -> int | None:
        """Of the head at the old size."""
        return self.grid.candidates(self.old_wh) if self.grid else None

    def maps(self) -> dict[Sides, Sides]:
        """(rows, columns) of each possible feature map -> the same map at the new size. 1 x 1 is left out."""
        (w, h), (new_w, new_h) = self.old_wh, self.new_wh
        maps = {(h // s, w // s): (new_h // s, new_w // s) for s in LEVEL_STRIDES if h % s == 0 and w % s == 0}
        maps.pop((1, 1), None)
        return maps
