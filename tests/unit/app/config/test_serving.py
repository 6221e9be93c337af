"""The worker as a server, and a lane to one: what a configuration may not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config.deployment import load
from app.config.worker import load_worker
from pipelines.errors import ConfigError

CAMERAS = "cameras: {hall: {url: rtsp://192.0.2.1/1}}\n"


def refusal(tmp_path: Path, text: str) -> str:
    file = tmp_path / "framegate.yaml"
    file.write_text(CAMERAS + text)
    with pytest.raises(ConfigError) as error:
        load(file, {"TOKEN": "open sesame"})
    return str(error.value)


def test_a_lane_over_grpc_is_a_few_lines(tmp_path: Path) -> None:
    file = tmp_path / "framegate.yaml"
    lane = "lane: {carrier: grpc, grpc: {address: '127.0.0.1:8001', model: detector, token: '${TOKEN}'}}\n"
    file.write_text(CAMERAS + "worker: {spawn: false}\n" + lane)

    config = load(file, {"TOKEN": "open sesame"})

    assert config.lane.grpc is not None
    assert config.lane.grpc.token is not None
    assert config.lane.grpc.token.get_secret_value() == "open sesame"
    assert "sesame" not in repr(config)


def test_a_worker_serves_with_a_token_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("open sesame\n")
    file = tmp_path / "framegate.yaml"
    file.write_text("worker: {socket: /tmp/w.sock, serve: {grpc: {token_file: token}, rest: {}}}\n")

    serve = load_worker(file, {}).worker.serve

    assert serve.grpc is not None
    assert serve.grpc.token is not None
    assert serve.grpc.token.get_secret_value() == "open sesame"
    assert serve.rest is not None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lane: {carrier: grpc}\nworker: {spawn: false}\n", "lane.grpc: is required for carrier grpc"),
        (
            "lane: {carrier: grpc, grpc: {address: '127.0.0.1:1', model: m}}\n",
            "worker.spawn: a lane over gRPC ends at a server of its own",
        ),
        ("lane: {grpc: {address: 'gpu.example:1', model: m}}\n", "gpu.example:1 is beyond this machine: set tls"),
        ("lane: {grpc: {address: 'nowhere', model: m}}\n", "lane.grpc.address"),
        (
            "lane: {grpc: {address: '127.0.0.1:1', model: m, tls: {cert_file: a}}}\n",
            "cert_file and key_file belong together",
        ),
        ("worker: {serve: {grpc: {token: '${TOKEN}'}}}\n", "worker.serve.grpc.token: no secret travels"),
        (
            "worker: {serve: {models: {big: ./nowhere.onnx}}}\n",
            "worker.serve.models.big: the model file ./nowhere.onnx",
        ),
        ("worker: {serve: {rest: {host: 0.0.0.0}}}\n", "is beyond this machine"),
    ],
)
def test_what_cannot_be(tmp_path: Path, text: str, says: str) -> None:
    assert says in refusal(tmp_path, text)
