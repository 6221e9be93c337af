"""The window's quantiles are those of the numbers in it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.gate.score_window import SlidingQuantiles

NUMBERS = st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(0, 40)), min_size=1)


@given(NUMBERS, st.integers(0, 100), st.integers(1, 20), st.floats(0, 1))
def test_quantiles_are_those_of_a_plain_sort(
    steps: list[tuple[float, int]], window_ns: int, most: int, share: float
) -> None:
    window = SlidingQuantiles(window_ns, most)
    now_ns, added = 0, []
    for value, step_ns in steps:
        now_ns += step_ns
        added.append((now_ns, value))
        window.add(value, now_ns)

    kept = sorted(value for at, value in added[-most:] if at >= now_ns - window_ns)
    assert len(window) == len(kept)
    assert window.quantile(share) == kept[int(share * (len(kept) - 1))]
