"""The small picture is the whole frame, whatever its size and stride."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.preprocess.thumbnail import luma_thumbnail


@pytest.mark.parametrize("hw", [(1080, 1920), (241, 321), (48, 48)])
def test_it_covers_the_whole_frame(hw: tuple[int, int]) -> None:
    h, w = hw
    ramp = np.tile(np.linspace(0, 240, w).astype(np.uint8), (h, 1))

    thumbnail = luma_thumbnail(ramp)

    assert thumbnail.shape == (96, 160)
    assert thumbnail.dtype == np.uint8
    assert thumbnail[0, 0] <= 8
    assert thumbnail[95, 159] >= 232


def test_rows_may_be_strided() -> None:
    buffer = np.random.default_rng(0).integers(0, 256, (1080, 2048), np.uint8)
    view = buffer[:, :1920]

    assert np.array_equal(luma_thumbnail(view), luma_thumbnail(view.copy()))
