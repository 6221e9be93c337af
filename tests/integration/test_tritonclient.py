"""The worker's server as NVIDIA's `tritonclient` sees it, over both wires: a client that nobody here wrote."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException, shared_memory

from pipelines.card import METADATA_KEY, from_json
from pipelines.color import affine
from pipelines.model.catalog import resolve
from pipelines.values import F32, U8, ColorMatrix, ColorRange, ModelCard
from pipelines.worker.engines.onnx import OnnxEngine
from tests.integration.command import short_tmp
from tests.servers.certificate import make_certificates
from tests.servers.inference import InferenceWorker, inference_worker

CLIENTS = 64
REQUESTS_EACH = 3
SERVE = {
    "grpc": {"port": 0},
    "rest": {"port": 0},
    "shared_memory": True,
    "models": {"second": "detector"},
    "max_message_bytes": 2 * 1024**2,
}
STATUS = {
    "INVALID_ARGUMENT": "400",
    "UNAUTHENTICATED": "401",
    "NOT_FOUND": "404",
    "RESOURCE_EXHAUSTED": "413",
    "UNAVAILABLE": "503",
    "DEADLINE_EXCEEDED": "504",
}
"""gRPC's name of a status, and HTTP's. (A message that is too long is HTTP's own matter: 413.)"""


@dataclass(frozen=True, slots=True)
class Wire:
    """One of the two clients, and where its server is."""

    kind: Any
    """The client's module: both have the same classes."""
    url: str

    def client(self, **more: object) -> Any:
        """To be closed."""
        return closing(self.kind.InferenceServerClient(self.url, **more))

    def inputs(self, planes: U8, color: F32) -> list[Any]:
        made = [
            self.kind.InferInput("planes", planes.shape, "UINT8"),
            self.kind.InferInput("color", color.shape, "FP32"),
        ]
        for tensor, data in zip(made, (planes, color), strict=True):
            tensor.set_data_from_numpy(data)
        return made

    def status(self, name: str) -> str:
        return f"StatusCode.{name}" if self.kind is tritonclient.grpc else STATUS[name]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InferenceWorker]:
    section = {"threads": 1, "batch": {"max_batch": 8}, "serve": SERVE}
    with short_tmp() as sockets, inference_worker(tmp_path_factory.mktemp("oip"), section, sockets / "w.sock") as made:
        yield made


@pytest.fixture(scope="module", params=["grpc", "rest"])
def wire(request: pytest.FixtureRequest, worker: InferenceWorker) -> Wire:
    kind = tritonclient.grpc if request.param == "grpc" else tritonclient.http
    return Wire(kind, f"127.0.0.1:{worker.ports[request.param]}")


@pytest.fixture(scope="module")
def engine() -> Iterator[OnnxEngine]:
    made = OnnxEngine(resolve("detector"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def card(engine: OnnxEngine) -> ModelCard:
    return engine.card


def picture(card: ModelCard, count: int = 1) -> tuple[U8, F32]:
    """(planes, color) of a batch, with something to compute in them."""
    noise = np.random.default_rng(7).integers(0, 255, (count, card.input_h * 3 // 2, card.input_w), np.uint8)
    color = affine(card, ColorRange.LIMITED, ColorMatrix.BT709)
    return noise, np.stack([color] * count)


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(InferenceServerException) as error:
        call()
    return str(error.value.status())


def test_health_and_metadata(wire: Wire, card: ModelCard) -> None:
    with wire.client() as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(card.name)
        assert client.is_model_ready(card.name, "1")
        if wire.kind is tritonclient.grpc:
            server = client.get_server_metadata(as_json=True)
            model = client.get_model_metadata(card.name, as_json=True)
            config = client.get_model_config(card.name, as_json=True)["config"]
        else:
            server, model = client.get_server_metadata(), client.get_model_metadata(card.name)
            config = client.get_model_config(card.name)
        assert server["name"] == "framegate"
        assert {"system_shared_memory", "model_repository"} <= set(server["extensions"])
        assert [tensor["name"] for tensor in model["inputs"]] == ["planes", "color"]
        assert [int(size) for size in model["outputs"][0]["shape"]] == [-1, card.top_k, 6]
        assert config["max_batch_size"] == 8
        assert from_json(config["parameters"][METADATA_KEY]["string_value"]) == card


@pytest.mark.parametrize("count", [1, 3])
def test_inference_gives_what_the_engine_gives(wire: Wire, engine: OnnxEngine, count: int) -> None:
    planes, color = picture(engine.card, count)
    expected = engine.infer([one.ravel() for one in planes], color)
    with wire.client() as client:
        result = client.infer(engine.card.name, wire.inputs(planes, color), request_id="seven")
        wanted = [wire.kind.InferRequestedOutput("detections")]
        again = client.infer(engine.card.name, wire.inputs(planes, color), outputs=wanted)
    assert (expected[..., 4] > 0).any(), "or the comparison proves little"
    np.testing.assert_allclose(result.as_numpy("detections"), expected, rtol=1e-4, atol=1e-4)
    assert np.array_equal(again.as_numpy("detections"), result.as_numpy("detections"))
    response = result.get_response()
    assert (response.id if wire.kind is tritonclient.grpc else response["id"]) == "seven"


def test_inference_in_json_numbers(worker: InferenceWorker, engine: OnnxEngine) -> None:
    wire = Wire(tritonclient.http, f"127.0.0.1:{worker.ports['rest']}")
    planes, color = picture(engine.card)
    inputs = wire.inputs(planes, color)
    for tensor, data in zip(inputs, (planes, color), strict=True):
        tensor.set_data_from_numpy(data, binary_data=False)
    outputs = [tritonclient.http.InferRequestedOutput("detections", binary_data=False)]
    with wire.client() as client:
        rows = client.infer(engine.card.name, inputs, outputs=outputs).as_numpy("detections")
    np.testing.assert_allclose(rows, engine.infer([planes.ravel()], color), rtol=1e-4, atol=1e-4)


def test_inference_through_system_shared_memory(wire: Wire, engine: OnnxEngine) -> None:
    card = engine.card
    planes, color = picture(card, 2)
    out_bytes = 2 * card.top_k * 24
    size = planes.nbytes + color.nbytes + out_bytes
    key = f"/framegate-test-{uuid.uuid4().hex}"
    region = shared_memory.create_shared_memory_region("frames", key, size)
    try:
        shared_memory.set_shared_memory_region(region, [planes, color])
        with wire.client() as client:
            client.register_system_shared_memory("frames", key, size)
            inputs = [
                wire.kind.InferInput("planes", planes.shape, "UINT8"),
                wire.kind.InferInput("color", color.shape, "FP32"),
            ]
            inputs[0].set_shared_memory("frames", planes.nbytes)
            inputs[1].set_shared_memory("frames", color.nbytes, offset=planes.nbytes)
            output = wire.kind.InferRequestedOutput("detections")
            output.set_shared_memory("frames", out_bytes, offset=planes.nbytes + color.nbytes)
            client.infer(card.name, inputs, outputs=[output])
            rows = shared_memory.get_contents_as_numpy(
                region, np.float32, [2, card.top_k, 6], planes.nbytes + color.nbytes
            )
            raw = client.infer(card.name, wire.inputs(planes, color)).as_numpy("detections")
            assert np.array_equal(rows, raw)

            status = client.get_system_shared_memory_status()
            names = list(status.regions) if wire.kind is tritonclient.grpc else [one["name"] for one in status]
            assert names == ["frames"]
            client.unregister_system_shared_memory("frames")
            assert refused(lambda: client.infer(card.name, inputs)) == wire.status("NOT_FOUND")
            nobody = "/framegate-test-nobody"
            assert refused(lambda: client.register_system_shared_memory("x", nobody, 1)) == wire.status(
                "INVALID_ARGUMENT"
            )
    finally:
        shared_memory.destroy_shared_memory_region(region)


def test_load_and_unload(wire: Wire, card: ModelCard) -> None:
    planes, color = picture(card)
    with wire.client() as client:
        assert not client.is_model_ready("second")
        assert refused(lambda: client.infer("second", wire.inputs(planes, color))) == wire.status("UNAVAILABLE")
        client.load_model("second")
        assert client.is_model_ready("second")
        rows = client.infer("second", wire.inputs(planes, color)).as_numpy("detections")
        assert np.array_equal(rows, client.infer(card.name, wire.inputs(planes, color)).as_numpy("detections"))
        index = client.get_model_repository_index()
        entries = index.models if wire.kind is tritonclient.grpc else index
        states = {(e.name, e.state) if wire.kind is tritonclient.grpc else (e["name"], e["state"]) for e in entries}
        assert states == {(card.name, "READY"), ("second", "READY")}
        client.unload_model("second")
        assert not client.is_model_ready("second")
        assert refused(lambda: client.load_model("nobody")) == wire.status("NOT_FOUND")
        with_files = {"config": "{}", "files": {"file:1/model.onnx": b"x"}}
        assert refused(lambda: client.load_model("second", **with_files)) == wire.status("INVALID_ARGUMENT")


def test_what_is_wrong_has_a_standard_status(wire: Wire, card: ModelCard) -> None:
    planes, color = picture(card)
    good = wire.inputs(planes, color)
    with wire.client() as client:
        narrow = wire.inputs(np.ascontiguousarray(planes[:, :, :-2]), color)
        assert refused(lambda: client.infer(card.name, narrow)) == wire.status("INVALID_ARGUMENT")
        flat = wire.inputs(planes[0], color)
        assert refused(lambda: client.infer(card.name, flat)) == wire.status("INVALID_ARGUMENT")
        assert refused(lambda: client.infer(card.name, good[:1])) == wire.status("INVALID_ARGUMENT")
        nine = wire.inputs(*picture(card, 9))
        assert refused(lambda: client.infer(card.name, nine)) == wire.status("INVALID_ARGUMENT")
        boxes = [wire.kind.InferRequestedOutput("boxes")]
        assert refused(lambda: client.infer(card.name, good, outputs=boxes)) == wire.status("INVALID_ARGUMENT")
        assert refused(lambda: client.infer("nobody", good)) == wire.status("NOT_FOUND")
        assert refused(lambda: client.infer(card.name, good, model_version="2")) == wire.status("NOT_FOUND")
        long = wire.inputs(*picture(card, 20))
        assert refused(lambda: client.infer(card.name, long)) == wire.status("RESOURCE_EXHAUSTED")
        assert client.is_server_ready()


def test_a_deadline_that_cannot_be_met(wire: Wire, card: ModelCard) -> None:
    inputs = wire.inputs(*picture(card))
    with wire.client() as client:
        late = refused(lambda: client.infer(card.name, inputs, timeout=1))
        assert late == wire.status("DEADLINE_EXCEEDED")
        if wire.kind is tritonclient.grpc:
            over = refused(lambda: client.infer(card.name, inputs, client_timeout=1e-3))
            assert over == wire.status("DEADLINE_EXCEEDED")
        client.infer(card.name, inputs, timeout=20_000_000)


def test_many_clients_at_once(wire: Wire, card: ModelCard, worker: InferenceWorker) -> None:
    """64 of them, each with a connection of its own: no error, and memory that does not grow with the rounds."""
    planes, color = picture(card)
    together = threading.Barrier(CLIENTS)

    def one(number: int) -> F32:
        with wire.client() as client:
            together.wait(60)
            answers = [client.infer(card.name, wire.inputs(planes, color)) for _ in range(REQUESTS_EACH)]
            rows: F32 = answers[-1].as_numpy("detections")
            return rows

    peaks_kb = []
    with ThreadPoolExecutor(CLIENTS) as clients:
        for _ in range(2):
            results = list(clients.map(one, range(CLIENTS)))
            assert len(results) == CLIENTS
            for rows in results:  # other batches, other sums: equal up to rounding
                np.testing.assert_allclose(rows, results[0], rtol=1e-3, atol=1e-2)
            peaks_kb.append(worker.memory_kb())
    assert peaks_kb[1] - peaks_kb[0] < 64 * 1024, peaks_kb


def test_tls_and_token(tmp_path: Path) -> None:
    made = make_certificates(tmp_path / "tls")
    tls = {"cert_file": str(made.server_cert), "key_file": str(made.server_key), "client_ca_file": str(made.ca)}
    serve = {name: {"port": 0, "token": "open sesame", "tls": tls} for name in ("grpc", "rest")}
    section = {"engine": "null", "serve": serve}
    secure: dict[Any, dict[str, object]] = {
        tritonclient.grpc: {
            "ssl": True,
            "root_certificates": str(made.ca),
            "private_key": str(made.client_key),
            "certificate_chain": str(made.client_cert),
        },
        tritonclient.http: {
            "ssl": True,
            "ssl_options": {
                "ca_certs": str(made.ca),
                "keyfile": str(made.client_key),
                "certfile": str(made.client_cert),
            },
        },
    }
    with short_tmp() as sockets, inference_worker(tmp_path, section, sockets / "w.sock") as worker:
        for kind, name in ((tritonclient.grpc, "grpc"), (tritonclient.http, "rest")):
            wire = Wire(kind, f"localhost:{worker.ports[name]}")
            with wire.client(**secure[kind]) as client:
                assert client.is_server_live()
                assert refused(client.get_server_metadata) == wire.status("UNAUTHENTICATED")
                headers = {"authorization": "Bearer open sesame"}
                metadata = client.get_server_metadata(headers=headers)
                assert (metadata.name if kind is tritonclient.grpc else metadata["name"]) == "framegate"
