"""What the frozen target of a Reshape becomes at another input size. Pure."""

from __future__ import annotations

from math import prod

from pipelines.errors import ModelError
from pipelines.model.change import Sides


def new_sides(name: str, before: list[int], after: list[int], now: list[int], maps: dict[Sides, Sides]) -> list[int]:
    """The target of the Reshape `name` that turned `before` into `after`, for an input that is now `now`, at any batch.

    Where the batch is merged with something, -1 stands for the two, and what else changes must be one side alone.

    Raises:
        ModelError: that cannot be told; names the node.
    """
    sides = list(after)
    for took, gave in match_sides(before, after):
        size, old = prod(now[i] for i in took), prod(before[i] for i in took)
        if took == gave == [0]:
            sides[0] = 0
            continue
        if 0 in took and gave:
            sides[gave[0]] = -1
            gave = gave[1:]
            if not gave:
                continue
        if size == old:
            continue
        kept = [after[i] for i in gave]
        new = _scaled(kept, size, old, maps) if 0 in took else _spread(kept, size, maps)
        if new is None:
            raise ModelError(f"node {name}: Reshape {before} -> {after} cannot be told for an input that is now {now}")
        for i, side in zip(gave, new, strict=True):
            sides[i] = side
    return sides


def _spread(sides: list[int], size: int, maps: dict[Sides, Sides]) -> list[int] | None:
    """Sides whose product shall be `size`: one alone takes it all, a feature map's become the new one's."""
    new = [size] if len(sides) == 1 else map_pairs(sides, maps)
    return new if prod(new) == size else None


def _scaled(sides: list[int], size: int, old: int, maps: dict[Sides, Sides]) -> list[int] | None:
    """Sides beside a merged batch, whose product shall grow from `old` to `size` of the whole."""
    if len(sides) == 1:
        return [sides[0] * size // old] if sides[0] * size % old == 0 else None
    counts = {h * w for h, w in maps}
    follow = [i for i, side in enumerate(sides) if side in counts]
    new = map_pairs(sides, maps)
    if len(follow) == 1 and new == sides:
        new[follow[0]] = sides[follow[0]] * size // old
    return new if prod(new) * old == prod(sides) * size else None


def match_sides(before: list[int], after: list[int]) -> list[tuple[list[int], list[int]]]:
    """Split a Reshape into independent parts: indices of sides before and after, with equal products."""
    parts, i, j = [], 0, 0
    while i < len(before) or j < len(after):
        took, gave = [i] if i < len(before) else [], [j] if j < len(after) else []
        i, j = i + len(took), j + len(gave)
        while (left := prod(before[k] for k in took)) != (right := prod(after[k] for k in gave)):
            if left < right and i < len(before):
                took.append(i)
                i += 1
            elif left > right and j < len(after):
                gave.append(j)
                j += 1
            else:
                raise ValueError(f"a Reshape cannot turn {before} into {after}")
        parts.append((took, gave))
    return parts


def map_pairs(sides: list[int], maps: dict[Sides, Sides]) -> list[int]:
    """Replace neighbouring (rows, columns) of a feature map by those of the new size."""
    out, i = list(sides), 0
    while i + 1 < len(sides):
        new = maps.get((sides[i], sides[i + 1]))
        if new is not None:
            out[i : i + 2] = new
            i += 1
        i += 1
    return out
