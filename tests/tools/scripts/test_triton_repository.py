"""The folder that Triton is given: its configuration as Triton's own messages read it, and as a lane does."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from pipelines.model.card import read_card
from pipelines.model.catalog import resolve
from pipelines.schema import open_inference_pb2 as pb
from pipelines.transport.grpc_form import card_of_config
from scripts.triton_repository import write_repository


def test_triton_and_the_lane_read_what_is_written(tmp_path: Path) -> None:
    folder = write_repository("detector", tmp_path, 16)
    card = read_card(resolve("detector"))

    config = text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())

    assert (folder.name, config.name, config.max_batch_size) == (card.name, card.name, 16)
    assert config.HasField("dynamic_batching")
    assert (config.platform, config.backend) == ("onnxruntime_onnx", "onnxruntime")
    assert (folder / "1" / "model.onnx").read_bytes() == resolve("detector").read_bytes()
    assert card_of_config(pb.ModelConfig.FromString(config.SerializeToString())) == card
