"""A transformer in three parts: pre and post here, main in another process behind the product's lane."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import numpy as np

from pipelines.model.runtime import Runner
from pipelines.model.split import SplitOptions, split
from pipelines.model.split_chain import open_chain
from pipelines.transport.options import LaneOptions
from pipelines.transport.shm_link import ShmLink
from tests.fakes.part_worker import PartLink
from tests.fakes.transformer import save_transformer
from tests.integration.command import short_tmp


async def test_the_parts_run_as_a_chain_over_the_lane(tmp_path: Path) -> None:
    source = save_transformer(tmp_path / "vit.onnx")
    split(source, tmp_path / "parts", SplitOptions(first=("tokens",), second=("block1",), runs=3, force=True))
    main = tmp_path / "parts" / "main.onnx"
    whole = Runner(str(source), "whole")
    with short_tmp() as scratch:
        socket = scratch / "worker.sock"
        command = (sys.executable, "-m", "tests.fakes.part_worker", str(socket), str(main))
        worker = await asyncio.create_subprocess_exec(*command, cwd=Path(__file__).parents[2])
        part = PartLink(main)
        linking = asyncio.create_task(ShmLink(socket, LaneOptions(), part).run())
        try:
            async with asyncio.timeout(60):
                await part.ready.wait()
            chain = open_chain(tmp_path / "parts", lambda file: part)
            for seed in range(5):
                pixels = np.random.default_rng(seed).random((1, 3, 64, 64)).astype(np.float32) * 255
                found = await asyncio.to_thread(chain.run, {"pixels": pixels})
                assert np.abs(found["logits"] - whole.run({"pixels": pixels})["logits"]).max() < 1e-5
            assert part.tasks == 5
        finally:
            linking.cancel()
            worker.terminate()
            await asyncio.gather(linking, worker.wait(), return_exceptions=True)
