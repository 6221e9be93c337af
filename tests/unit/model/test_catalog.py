"""From a name in a configuration to a folded file."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.errors import ModelError
from pipelines.model import catalog
from pipelines.model.card import find_card, read_card
from pipelines.model.catalog import resolve, resolve_presence
from pipelines.model.fold import fold
from pipelines.model.options import FoldOptions
from tests.fakes import heads


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_a_file_is_folded_once(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = heads.yolox(tmp_path / "mine.onnx")
    first = resolve(source, cache=cache)
    stamp = first.stat().st_mtime_ns

    assert resolve(str(source), cache=cache) == first
    assert first.stat().st_mtime_ns == stamp
    assert read_card(first).name == "mine"
    assert find_card(source) is None, "the user's file is left alone"


def test_size_family_and_content_make_other_files(tmp_path: Path, cache: Path) -> None:
    source = heads.yolox(tmp_path / "mine.onnx")
    paths = {resolve(source, cache=cache), resolve(source, (128, 64), cache=cache)}
    paths.add(resolve(source, family="yolox_decoded", cache=cache))
    heads.yolox(source, (160, 96))
    paths.add(resolve(source, cache=cache))

    assert len(paths) == 4
    assert {(c.input_w, c.input_h, c.family) for c in map(read_card, paths)} == {
        (96, 64, "yolox"), (128, 64, "yolox"), (96, 64, "yolox_decoded"), (160, 96, "yolox")
    }  # fmt: skip


def test_a_folded_file_is_used_as_it_is(tmp_path: Path, cache: Path) -> None:
    target = tmp_path / "folded.onnx"
    fold(heads.yolov8(tmp_path / "in.onnx"), target)

    assert resolve(target, cache=cache) == target
    assert resolve(target, (96, 64), "yolov8", cache=cache) == target
    assert not cache.exists()
    with pytest.raises(ModelError, match="folded for 96x64"):
        resolve(target, (128, 64), cache=cache)
    with pytest.raises(ModelError, match="as yolov8, not yolox"):
        resolve(target, family="yolox", cache=cache)


def test_a_shipped_name(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heads.yolov8(tmp_path / "detector.onnx")
    (tmp_path / "presence.onnx").touch()
    monkeypatch.setattr(catalog, "SHIPPED_FOLDER", tmp_path)
    options = FoldOptions(name="detector", classes=("a", "b", "c"), score_threshold=0.6)
    monkeypatch.setattr(catalog, "SHIPPED", {"detector": options})

    card = read_card(resolve("detector", cache=cache))

    assert (card.name, card.classes, card.score_threshold) == ("detector", ("a", "b", "c"), 0.6)
    assert resolve_presence("presence") == tmp_path / "presence.onnx"


def test_a_fetched_name(cache: Path) -> None:
    with pytest.raises(ModelError, match="framegate models pull yolox_nano"):
        resolve("yolox_nano", cache=cache)

    cache.mkdir()
    heads.yolox(cache / "yolox_nano.onnx")
    assert read_card(resolve("yolox_nano", cache=cache)).score_threshold == 0.3


def test_what_is_not_there(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(ModelError, match="known are detector, detector_int8, yolox_nano"):
        resolve("nonsense", cache=cache)
    with pytest.raises(ModelError, match=r"x\.onnx: no such file"):
        resolve("x.onnx", cache=cache)
    with pytest.raises(ModelError, match="no such file"):
        resolve_presence(tmp_path / "p.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(ModelError, match=r"text\.onnx: not a model"):
        resolve(tmp_path / "text.onnx", cache=cache)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    source = heads.yolox(tmp_path / "mine.onnx")
    (tmp_path / "file").touch()

    with pytest.raises(ModelError, match="cannot be written"):
        resolve(source, cache=tmp_path / "file")
