"""The engines keep the contract."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

from pipelines.color import affine
from pipelines.contracts import Engine
from pipelines.errors import DeviceLost, EngineError, ModelError, OutOfMemory
from pipelines.model.fold import fold
from pipelines.model.options import FoldOptions
from pipelines.values import F32, U8, ColorMatrix, ColorRange, ModelCard
from pipelines.worker.engines.null import NullEngine
from pipelines.worker.engines.onnx import OnnxEngine
from tests.fakes import heads


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engine")
    fold(heads.yolov8(folder / "in.onnx"), folder / "out.onnx", FoldOptions(top_k=10))
    return folder / "out.onnx"


def payloads(card: ModelCard, count: int) -> list[U8]:
    """Read-only, as the ring lends them."""
    made = [np.random.default_rng(i).integers(0, 255, card.payload_bytes, np.uint8) for i in range(count)]
    for payload in made:
        payload.flags.writeable = False
    return made


def colors(card: ModelCard, count: int) -> F32:
    return np.stack([affine(card, ColorRange.FULL, ColorMatrix.BT601)] * count)


def test_a_batch_is_answered_picture_by_picture(folded: Path) -> None:
    engine = OnnxEngine(folded, max_batch=4)
    contract: Engine = engine
    made = payloads(engine.card, 3)

    together = contract.infer(made, colors(engine.card, 3))
    alone = [engine.infer([payload], colors(engine.card, 1))[0] for payload in made]

    assert together.shape == (3, 10, 6)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone, atol=1e-4)
    assert not np.allclose(together[0], together[1])
    assert (np.diff(together[:, :, 4]) <= 0).all(), "best first"


def test_an_answer_is_not_overwritten_by_the_next(folded: Path) -> None:
    engine = OnnxEngine(folded)
    one, two = payloads(engine.card, 2)
    first = engine.infer([one], colors(engine.card, 1))
    kept = first.copy()

    engine.infer([two], colors(engine.card, 1))

    np.testing.assert_array_equal(first, kept)


def test_a_bad_batch_fails_and_the_next_goes_on(folded: Path) -> None:
    engine = OnnxEngine(folded, max_batch=2)
    card, good = engine.card, payloads(engine.card, 3)
    for bad, color in (([], colors(card, 1)), (good, colors(card, 3)), ([good[0][:-1]], colors(card, 1))):
        with pytest.raises(EngineError):
            engine.infer(bad, color)
    with pytest.raises(EngineError, match="color"):
        engine.infer(good[:1], np.zeros((1, 4, 4), np.float32))

    assert engine.infer(good[:2], colors(card, 2)).shape == (2, 10, 6)
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.infer(good[:1], colors(card, 1))


def test_providers_that_are_not_here_are_passed_over(folded: Path) -> None:
    assert OnnxEngine(folded, providers=("NoSuchProvider", "CPUExecutionProvider")).provider == "CPUExecutionProvider"
    with pytest.raises(ModelError, match="NoSuchProvider"):
        OnnxEngine(folded, providers=("NoSuchProvider",))


def test_only_folded_models_are_taken(folded: Path, tmp_path: Path) -> None:
    raw = heads.yolov8(tmp_path / "raw.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    lying = onnx.load(str(folded))
    lying.metadata_props[0].value = lying.metadata_props[0].value.replace('"input_w": 96', '"input_w": 128')
    onnx.save(lying, str(tmp_path / "lying.onnx"))

    for make in (OnnxEngine, NullEngine):
        with pytest.raises(ModelError, match=r"raw\.onnx: not a folded model"):
            make(raw)
        with pytest.raises(ModelError, match=r"text\.onnx: cannot be loaded"):
            make(tmp_path / "text.onnx")
        with pytest.raises(ModelError, match=r"lying\.onnx: .* do not fit its card: 128x64"):
            make(tmp_path / "lying.onnx")


def test_the_worker_needs_neither_onnx_nor_opencv(folded: Path) -> None:
    program = (
        "import sys; sys.modules['onnx'] = sys.modules['cv2'] = sys.modules['av'] = None\n"
        "import numpy as np; from pipelines.worker.engines.onnx import OnnxEngine\n"
        "e = OnnxEngine(sys.argv[1]); p = np.zeros(e.card.payload_bytes, np.uint8)\n"
        "assert e.infer([p], np.zeros((1, 3, 4), np.float32)).shape == (1, 10, 6)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folded)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_null_finds_nothing_in_its_time(folded: Path) -> None:
    engine: Engine = NullEngine(folded, max_batch=2, batch_ms=20)
    started = time.monotonic()

    rows = engine.infer(payloads(engine.card, 2), colors(engine.card, 2))

    assert time.monotonic() - started >= 0.02
    assert rows.shape == (2, 10, 6)
    assert not rows.any()
    assert NullEngine(engine.card).card is engine.card
    with pytest.raises(EngineError):
        engine.infer(payloads(engine.card, 3), colors(engine.card, 3))
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.infer(payloads(engine.card, 1), colors(engine.card, 1))


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("bfc_arena.cc:360 AllocateRawInternal Failed to allocate memory for requested buffer of size 9", OutOfMemory),
        ("std::bad_alloc", OutOfMemory),
        ("CUDA failure 2: out of memory ; GPU=0", OutOfMemory),
        ("CUDA failure 700: an illegal memory access was encountered ; GPU=0", DeviceLost),
        ("Non-zero status code returned while running Conv node", EngineError),
    ],
)
def test_what_onnxruntime_says_is_told_apart(folded: Path, said: str, kind: type[EngineError]) -> None:
    class Session:
        def run(self, names: object, feeds: object) -> object:
            raise RuntimeError(said)

    engine = OnnxEngine(folded, max_batch=1)
    engine._session = Session()
    with pytest.raises(EngineError) as raised:
        engine.infer(payloads(engine.card, 1), colors(engine.card, 1))
    assert type(raised.value) is kind
