"""Several workers in a configuration: what is a worker's place, and what cannot be one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from app.config.deployment import Config, load
from app.config.example import _FULL_WORKERS
from pipelines.errors import ConfigError

CAMERAS = "cameras: {hall: {url: rtsp://192.0.2.1/1}}\n"
ENVIRON = {"LANE_SECRET": "open sesame, open"}
RDMA = "rdma: {address: '10.0.0.2:7471', secret: '${LANE_SECRET}'}"
GRPC = "grpc: {address: '127.0.0.1:1', model: m}"


def loaded(directory: Path, text: str) -> Config:
    file = directory / "framegate.yaml"
    file.write_text(CAMERAS + text)
    return load(file, ENVIRON)


def test_one_worker_needs_no_list(tmp_path: Path) -> None:
    [(name, place)] = loaded(tmp_path, "").places().items()
    assert (name, place.carrier, place.spawned) == ("worker", "shm", True)


def test_the_single_form_is_a_list_of_one(tmp_path: Path) -> None:
    config = loaded(tmp_path, f"worker: {{spawn: false, socket: /run/w}}\nlane: {{carrier: auto, {GRPC}}}\n")
    place = config.places()["worker"]
    assert (place.carrier, place.spawned, place.socket) == ("auto", False, Path("/run/w"))
    assert place.grpc is not None


def test_a_worker_with_nothing_said_is_spawned(tmp_path: Path) -> None:
    config = loaded(tmp_path, f"workers: {{a: {{}}, b: {{socket: /run/b}}, c: {{{RDMA}, {GRPC}}}}}\n")
    assert {name: place.spawned for name, place in config.places().items()} == {"a": True, "b": False, "c": False}


def test_the_example_in_the_full_file_is_sound(tmp_path: Path) -> None:
    example = _FULL_WORKERS.replace("# ", "", 1).replace("\n# ", "\n").replace("\n#", "\n")
    assert set(loaded(tmp_path, example).places()) == set(yaml.safe_load(example)["workers"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("workers: {a: {carrier: shm, spawn: false}}", "workers.a.socket: is required for carrier shm"),
        ("workers: {a: {carrier: rdma, spawn: false}}", "workers.a.rdma: is required for carrier rdma"),
        ("workers: {a: {carrier: grpc, spawn: false}}", "workers.a.grpc: is required for carrier grpc"),
        ("workers: {a: {spawn: false}}", "workers.a.carrier: auto has nothing to choose from"),
        (f"workers: {{a: {{carrier: grpc, spawn: true, {GRPC}}}}}", "workers.a.spawn: a lane over gRPC ends at"),
        ("workers: {a: {socket: /run/w}, b: {socket: /run/w}}", "workers.b.socket: is that of a too"),
        (f"workers: {{a: {{{GRPC}}}, b: {{{GRPC}}}}}", "workers.b.grpc: is that of a too"),
        ("workers: {a: {rdma: {address: 'h:1', secret: short}}}", "workers.a.rdma.secret: is too short"),
        ("workers: {a: {}}\nworker: {serve: {grpc: {token: 12345678}}}", "no secret travels to a spawned worker"),
        ("workers: {a: {}, b: {nonsense: 1}, c: {spawn: false}}", "workers.c.carrier: auto has nothing"),
        ("workers: {a/b: {}}", "a name has letters, digits"),
        ("worker: {spawn: false}\nlane: {carrier: auto}", "lane.carrier: auto has nothing to choose from"),
    ],
)
def test_what_cannot_be(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        loaded(tmp_path, text + "\n")
    assert says in str(error.value)
    assert "sesame" not in str(error.value)
