"""What no option can know alone: clashes between options, and files that must exist."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from app.config.document import Keys
from app.config.load import Finding
from app.config.sinks import GrpcSink, JsonlSink
from app.config.worker import check_model, is_file_name, is_there
from pipelines.transport.place import PlaceOptions
from pipelines.transport.rdma_options import SECRET_BYTES

if TYPE_CHECKING:
    from app.config.deployment import Config


def check(config: Config) -> Iterator[Finding]:
    """All findings, in the order of the file's sections."""
    yield from check_model(config)
    yield from _degraded(config)
    yield from _worker(config)
    yield from _cameras(config)
    yield from _sinks(config)
    yield from _http(config)
    yield from _files(config, ())


def _degraded(config: Config) -> Iterator[Finding]:
    name = config.degraded.detector
    if name is not None and is_file_name(name) and not is_there(name):
        yield ("degraded", "detector"), f"the model file {name} does not exist: check the path, or name a shipped model"


def _worker(config: Config) -> Iterator[Finding]:
    if config.workers:
        yield from _workers(config)
    else:
        place = config.places()["worker"]
        if (lack := place.lacks()) is not None:
            key, sentence = lack
            yield (("worker" if key in ("spawn", "socket") else "lane"), key), sentence
        yield from _rdma(place, ("lane", "rdma"))
    spawned = any(place.spawned for place in config.places().values())
    for wire in ("grpc", "rest"):
        listen = getattr(config.worker.serve, wire)
        if spawned and listen is not None and listen.token is not None:
            sentence = "no secret travels to a spawned worker: run it on its own (worker.spawn: false), or use tls"
            yield ("worker", "serve", wire, "token"), sentence


def _workers(config: Config) -> Iterator[Finding]:
    taken: dict[object, str] = {}
    for name, place in config.workers.items():
        if (lack := place.lacks()) is not None:
            yield ("workers", name, lack[0]), lack[1]
        yield from _rdma(place, ("workers", name, "rdma"))
        ends: dict[str, object] = {"socket": place.socket, "rdma": place.rdma and place.rdma.address}
        ends["grpc"] = place.grpc and (place.grpc.address, place.grpc.model)
        for key, end in ends.items():
            if end is not None and (first := taken.setdefault((key, end), name)) != name:
                yield ("workers", name, key), f"is that of {first} too: one entry for each worker"


def _rdma(place: PlaceOptions, path: Keys) -> Iterator[Finding]:
    if place.rdma is not None and len(place.rdma.secret.get_secret_value().encode()) < SECRET_BYTES:
        sentence = f"is too short: give both sides the same {SECRET_BYTES} characters or more (openssl rand -hex 16)"
        yield (*path, "secret"), sentence


def _cameras(config: Config) -> Iterator[Finding]:
    for name, camera in config.cameras.items():
        if camera.enabled and camera.is_file and not camera.path.is_file():
            yield (
                ("cameras", name, "url"),
                "the file does not exist: check the path (relative to the working directory)",
            )


def _sinks(config: Config) -> Iterator[Finding]:
    taken: dict[Path, str] = {}
    for name, sink in config.sinks.items():
        if not isinstance(sink, JsonlSink):
            continue
        for key in ("path", "detections_path", "health_path"):
            file = getattr(sink, key)
            if file is None:
                continue
            if (first := taken.setdefault(file.absolute(), f"sinks.{name}.{key}")) != f"sinks.{name}.{key}":
                yield ("sinks", name, key), f"is the same file as {first}: give each its own"


def _http(config: Config) -> Iterator[Finding]:
    http = config.http
    if http.enabled and not http.loopback and http.token is None:
        yield ("http", "token"), "is required, as http.host is not loopback: add `token:`, or listen on 127.0.0.1"
    ports = {http.port: "http.port"} if http.enabled and http.port else {}
    for name, sink in config.sinks.items():
        if isinstance(sink, GrpcSink) and sink.port:
            if sink.port in ports:
                yield ("sinks", name, "port"), f"is the same port as {ports[sink.port]}: choose another"
            ports.setdefault(sink.port, f"sinks.{name}.port")


def _files(options: BaseModel, path: Keys) -> Iterator[Finding]:
    """Every option `*_file` names a file that must be there now (certificates and keys)."""
    for name in type(options).model_fields:
        yield from _file(getattr(options, name), (*path, name))


def _file(value: object, path: Keys) -> Iterator[Finding]:
    if isinstance(value, BaseModel):
        yield from _files(value, path)
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from _file(below, (*path, key))
    elif isinstance(value, Path) and str(path[-1]).endswith("_file") and not value.is_file():
        yield path, f"the file {value} does not exist: check the path"
