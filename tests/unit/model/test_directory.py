"""Model directories: versions whole or absent, the current one, and what was changed behind our back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import ModelError
from pipelines.model import directory, sample
from pipelines.model.catalog import resolve
from pipelines.model.directory import Version
from pipelines.model.known import SHIPPED_FOLDER
from pipelines.model.options import FoldOptions
from pipelines.model.prepare import prepare
from tests.fakes.heads import told, yolov8

FOLDED = SHIPPED_FOLDER / "detector.folded.onnx"


def add(people: Path) -> Version:
    return directory.add(people, FOLDED, "detector.onnx", "2026-01-02T03:04:05+00:00", b"pictures")


@pytest.fixture
def people(tmp_path: Path) -> Path:
    return tmp_path / "people"


def test_the_first_version_is_current_and_later_ones_wait(people: Path) -> None:
    first, second = add(people), add(people)
    assert (first.number, second.number) == (1, 2)
    assert directory.numbers(people) == [1, 2]
    assert directory.current(people) == 1
    directory.set_current(people, 2)
    assert directory.current(people) == 2
    assert sorted(p.name for p in people.iterdir()) == ["1", "2", "CURRENT"], "no part files stay"


def test_references(people: Path) -> None:
    add(people)
    second = add(people)
    found = directory.find(people)
    assert found is not None
    assert found.number == 1
    assert directory.find(f"{people}@2") == second
    assert directory.find(f"{people}@newest") == second
    assert directory.find(FOLDED) is None
    assert directory.version_of(second.path) == second
    assert directory.version_of(FOLDED) is None
    assert second.card.classes == ("person", "vehicle")
    assert second.reference.read_bytes() == b"pictures"


@pytest.mark.parametrize(
    ("reference", "said"), [("@3", "no version 3; there are 1"), ("@old", "after @ stands a version's number")]
)
def test_versions_that_are_not_there(people: Path, reference: str, said: str) -> None:
    add(people)
    with pytest.raises(ModelError, match=said):
        directory.find(f"{people}{reference}")
    with pytest.raises(ModelError, match="has no version 3"):
        directory.set_current(people, 3)


def test_an_empty_directory_is_none(people: Path) -> None:
    people.mkdir()
    assert not directory.is_model_directory(people)
    with pytest.raises(ModelError, match="not a model directory"):
        directory.find(people)


def test_a_changed_file_is_refused(people: Path) -> None:
    version = add(people)
    version.path.write_bytes(version.path.read_bytes() + b"x")
    with pytest.raises(ModelError, match="was changed or is damaged"):
        directory.find(people)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1}', "nonsense"])
def test_a_card_that_cannot_be_read_is_named(people: Path, text: str) -> None:
    card = add(people).path.with_name("card.json")
    card.write_text(text)
    with pytest.raises(ModelError, match=r"card\.json cannot be read"):
        directory.find(people)


def test_a_newer_format_is_refused(people: Path) -> None:
    card = add(people).path.with_name("card.json")
    card.write_text(json.dumps(json.loads(card.read_text()) | {"format": 2}))
    with pytest.raises(ModelError, match="format 2, this program reads 1"):
        directory.find(people)


def test_a_current_that_is_not_there_is_named(people: Path) -> None:
    add(people)
    (people / "CURRENT").write_text("7\n")
    with pytest.raises(ModelError, match="CURRENT names version '7', there are 1"):
        directory.find(people)


def test_only_folded_files_go_in_and_nothing_stays_of_others(people: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(b"no model")
    with pytest.raises(ModelError, match="not a model that can be loaded"):
        directory.add(people, other, "", "", b"")
    assert not directory.numbers(people)


def test_prepare_folds_checks_and_keeps_answers(tmp_path: Path) -> None:
    source = yolov8(tmp_path / "source.onnx")
    made = prepare(source, tmp_path / "door", FoldOptions(classes=("a", "b", "c"), licence="MIT")).version
    assert (made.number, made.source, made.card.name, made.card.licence) == (1, "source.onnx", "door", "MIT")
    asked = sample.read_sample(made.reference, made.card)
    assert asked.rows is not None
    assert asked.rows.shape == (sample.SYNTHETIC, made.card.top_k, 6)
    assert resolve(f"{tmp_path}/door") == made.path
    assert resolve(tmp_path / "door", size_wh=(made.card.input_w, made.card.input_h)) == made.path
    with pytest.raises(ModelError, match="is folded for"):
        resolve(tmp_path / "door", size_wh=(1000, 1000))

    again = prepare(made.path, tmp_path / "door")
    assert again.version.number == 2
    assert again.version.sha256 == made.sha256, "a folded file is taken as it is"
    with pytest.raises(ModelError, match="comes too late"):
        prepare(made.path, tmp_path / "door", FoldOptions(licence="other"))


def test_a_model_that_cannot_be_folded_leaves_no_version(tmp_path: Path) -> None:
    source = told(tmp_path / "odd.onnx", {"odd": np.zeros((1, 7), np.float32)})
    with pytest.raises(ModelError, match="do not fit"):
        prepare(source, tmp_path / "door")
    assert not (tmp_path / "door").exists()


def test_a_sample_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    made = prepare(yolov8(tmp_path / "source.onnx"), tmp_path / "door").version
    asked = sample.synthetic(made.card)
    short = sample.Sample(asked.planes, asked.color[:1], asked.color)
    file = tmp_path / "reference.npz"
    file.write_bytes(sample.to_bytes(short))
    with pytest.raises(ModelError, match="do not fit the model's card"):
        sample.read_sample(file, made.card)
    file.write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="cannot be read"):
        sample.read_sample(file, made.card)
