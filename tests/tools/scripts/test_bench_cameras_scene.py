"""The timelines of the capacity bench: sparse, different, long enough for somebody to come."""

from __future__ import annotations

import pytest

from scripts.bench.cameras_scene import timelines


@pytest.mark.parametrize(("count", "seconds"), [(8, 100.0), (8, 60.0), (2, 20.0)])
def test_somebody_comes_now_and_then(count: int, seconds: float) -> None:
    sources = timelines(count, seconds)
    active = [sum(end - begin for begin, end in source.active_s()) for source in sources]
    assert len({repr(source) for source in sources}) == count
    assert all(source.active_s() for source in sources)
    assert all(source.seconds == seconds for source in sources)
    if seconds == 100.0:
        assert 0.07 < sum(active) / (count * seconds) < 0.13
