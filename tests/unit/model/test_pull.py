"""Fetching known models from a real HTTP server."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipelines.errors import ModelError
from pipelines.model.known import CATALOG, KnownModel
from pipelines.model.options import FoldOptions
from pipelines.model.pull import CHUNK_BYTES, pull

CONTENT = bytes(range(256)) * 4096


class Server(ThreadingHTTPServer):
    """Serves CONTENT at /good, more of it at /long, half of what it promises at /cut, 404 elsewhere."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = 0

    def model(self, path: str, sha256: str = hashlib.sha256(CONTENT).hexdigest()) -> dict[str, KnownModel]:
        url = f"http://127.0.0.1:{self.server_address[1]}{path}"
        return {"m": KnownModel("m", url, sha256, len(CONTENT), "Apache-2.0", "", FoldOptions())}


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        body = {"/good": CONTENT, "/long": CONTENT * 8, "/cut": CONTENT[: len(CONTENT) // 2]}.get(self.path)
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(CONTENT if self.path == "/cut" else body or b"")))
        self.end_headers()
        with suppress(ConnectionError):  # the client has seen enough
            self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_model_arrives_with_progress(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    path = pull("m", tmp_path / "new", lambda done, size: seen.append((done, size)), server.model("/good"))

    assert path == tmp_path / "new" / "m.onnx"
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert len(seen) >= len(CONTENT) // CHUNK_BYTES


def test_what_is_there_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    pull("m", tmp_path, catalog=server.model("/good"))
    pull("m", tmp_path, catalog=server.model("/good"))
    assert server.requests == 1

    (tmp_path / "m.onnx").write_bytes(b"damaged")
    pull("m", tmp_path, catalog=server.model("/good"))
    assert (tmp_path / "m.onnx").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "sha256", "reason"),
    [
        ("/good", "0" * 64, "not the one we know"),
        ("/long", None, "not the one"),
        ("/cut", None, "/cut"),
        ("/no", None, "404"),
    ],
    ids=["other sum", "too long", "cut off", "missing"],
)
def test_anything_else_is_refused_and_not_kept(
    path: str, sha256: str | None, reason: str, server: Server, tmp_path: Path
) -> None:
    catalog = server.model(path, sha256) if sha256 else server.model(path)

    with pytest.raises(ModelError, match=reason):
        pull("m", tmp_path, catalog=catalog)

    assert list(tmp_path.iterdir()) == []


def test_nobody_answers(server: Server, tmp_path: Path) -> None:
    catalog = server.model("/good")
    server.server_close()

    with pytest.raises(ModelError, match="cannot be fetched"):
        pull("m", tmp_path, catalog=catalog)


def test_unknown_names_are_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="yolox_nano, yolox_s, yolox_tiny"):
        pull("yolox_huge", tmp_path)


def test_the_catalogue_is_in_order() -> None:
    for name, model in CATALOG.items():
        assert name == model.name == model.fold.name
        assert model.url.startswith("https://")
        assert len(bytes.fromhex(model.sha256)) == 32
        assert model.licence
        assert model.notes
