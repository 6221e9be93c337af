"""Finding the largest number that still works, with few tries. Pure."""

from __future__ import annotations

from collections.abc import Callable


def largest(fits: Callable[[int], bool], low: int, high: int, guess: int, step: int = 1) -> int:
    """The largest n of low..high (in steps from low) that fits; low - step if not even low does.

    fits: is expected to hold up to some n and not beyond; asked once for any n. First about `guess`, then in strides
    away from it that double, then between the last two by halves.
    """
    known: dict[int, bool] = {}

    def ask(n: int) -> bool:
        if n not in known:
            known[n] = fits(n)
        return known[n]

    def aligned(n: int) -> int:
        return low + (min(max(n, low), high) - low) // step * step

    good, bad = low - step, aligned(high) + step
    at, stride = aligned(guess), step
    while bad - good > step and good < at < bad:
        if ask(at):
            good = at
            at += stride
        else:
            bad = at
            at -= stride
        stride *= 2
    while bad - good > step:
        middle = good + max(1, (bad - good) // step // 2) * step
        if ask(middle):
            good = middle
        else:
            bad = middle
    return good
