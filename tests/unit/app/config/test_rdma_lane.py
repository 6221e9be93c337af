"""A lane over RDMA in a configuration: what it takes, and what it may not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config.deployment import load
from app.config.worker import load_worker
from pipelines.errors import ConfigError

CAMERAS = "cameras: {hall: {url: rtsp://192.0.2.1/1}}\n"
OWN = "worker: {spawn: false}\n"
SECRET = {"SECRET": "open sesame, open"}


def test_a_worker_on_another_host_is_a_line_and_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "framegate.yaml"
    (tmp_path / "secret").write_text("open sesame, open\n")
    file.write_text(CAMERAS + OWN + "lane: {carrier: rdma, rdma: {address: '10.0.0.2:7471', secret_file: secret}}\n")
    config = load(file, {})
    assert config.lane.rdma is not None
    assert config.lane.rdma.host_and_port == ("10.0.0.2", 7471)
    assert config.lane.rdma.key() == b"open sesame, open"
    assert "sesame" not in repr(config) + config.model_dump_json()


def test_the_worker_reads_the_same_file(tmp_path: Path) -> None:
    file = tmp_path / "framegate.yaml"
    file.write_text(CAMERAS + OWN + "lane: {carrier: rdma, rdma: {address: '[fd00::2]:7471', secret: '${SECRET}'}}\n")
    rdma = load_worker(file, SECRET).lane.rdma
    assert rdma is not None
    assert rdma.host_and_port == ("fd00::2", 7471)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (OWN + "lane: {carrier: rdma}\n", "lane.rdma: is required for carrier rdma"),
        ("lane: {carrier: rdma, rdma: {address: 'a:1', secret: '${SECRET}'}}\n", "worker.spawn: a lane over RDMA"),
        (OWN + "lane: {carrier: rdma, rdma: {address: 'a:1', secret: short}}\n", "lane.rdma.secret: is too short"),
        (OWN + "lane: {carrier: rdma, rdma: {address: 'nowhere', secret: '${SECRET}'}}\n", "lane.rdma.address"),
        (OWN + "lane: {carrier: rdma, rdma: {address: 'a:70000', secret: '${SECRET}'}}\n", "must be 1..65535"),
    ],
)
def test_what_cannot_be(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "framegate.yaml"
    file.write_text(CAMERAS + text)
    with pytest.raises(ConfigError) as error:
        load(file, SECRET)
    assert says in str(error.value)
    assert "sesame" not in str(error.value)
