"""The trained YOLOX-nano in parts: the chain is the whole; a cut that pays on a thin link, and one in vain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import ModelError
from pipelines.model.runtime import Runner
from pipelines.model.split import SplitOptions, split
from pipelines.model.split_chain import open_chain
from pipelines.model.split_cost import CostOptions
from tests.footage import footage

pytestmark = pytest.mark.footage
STEM = "1180"
"""What the first stage gives: 16 maps of 104 x 104, a third of the input's bytes."""


def test_yolox_nano(tmp_path: Path) -> None:
    source = footage("models/yolox_nano_416.onnx")
    thin = CostOptions(link_gbit_s=0.01)
    report = split(source, tmp_path, SplitOptions(cost=thin, runs=3))
    print(report)
    assert report.proposed
    assert report.verdict.gain > 0.2
    assert report.difference < 1e-3
    feeds = {"images": np.random.default_rng(9).random((1, 3, 416, 416)).astype(np.float32) * 255}
    whole, chain = Runner(str(source), "whole").run(feeds), open_chain(tmp_path).run(feeds)
    assert np.abs(whole["output"] - chain["output"]).max() < 1e-3

    fat = CostOptions(link_gbit_s=1000, worker_speedup=100)
    with pytest.raises(ModelError, match=r"does not pay: whole: .* 2,076,672 B up .*chain: .* 692,224 B up") as refused:
        split(source, None, SplitOptions(cost=fat, runs=3, first=(STEM,)))
    print(refused.value)
