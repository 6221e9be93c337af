"""Put a folded detector where NVIDIA Triton finds it:  python -m scripts.triton_repository MODEL DIR [--max-batch N]

Writes DIR/NAME/1/model.onnx and DIR/NAME/config.pbtxt, whose parameter `framegate.card` tells a DPU process what the
model is. Then `tritonserver --model-repository DIR`, and in the deployment `lane: {carrier: grpc, ...}`
(docs/protocol.md).
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from google.protobuf import text_format

from pipelines.errors import ModelError
from pipelines.model.card import read_card
from pipelines.model.catalog import resolve
from pipelines.schema import open_inference_pb2 as pb
from pipelines.worker.serve import rpc_form

_BATCHING = "dynamic_batching {}\n"
"""Triton joins requests of several calls only where its configuration says so."""


def write_repository(model: str, directory: Path, max_batch: int) -> Path:
    """Returns the model's folder. Raises ModelError: the model cannot be found or read."""
    source = resolve(model)
    card = read_card(source)
    folder = directory / card.name
    (folder / "1").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, folder / "1" / "model.onnx")
    (folder / "config.pbtxt").write_text(_config(rpc_form.config(card.name, card, max_batch)), encoding="utf-8")
    return folder


def _config(config: pb.ModelConfig) -> str:
    return text_format.MessageToString(config) + _BATCHING


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("model", help="a shipped, pulled or prepared detector's name, or an ONNX file")
    parser.add_argument("directory", type=Path, help="Triton's model repository")
    parser.add_argument("--max-batch", type=int, default=8, help="largest batch (default %(default)s)")
    arguments = parser.parse_args()
    try:
        print(write_repository(arguments.model, arguments.directory, arguments.max_batch))
    except ModelError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
