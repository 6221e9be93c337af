"""`framegate models`, in this process: what it prints, where it puts things, how it ends."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from app.cli import main
from app.exit_code import ExitCode
from pipelines.model import directory, sample
from tests.fakes.heads import yolov8
from tests.fakes.transformer import save_transformer


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own: the store and the cache are below it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return yolov8(tmp_path / "source.onnx")


def framegate(*arguments: object) -> int:
    return main(["models", *map(str, arguments)])


def test_a_model_is_prepared_listed_shown_and_checked(
    source: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = home / "yard.png"
    cv2.imwrite(str(picture), np.full((45, 61, 3), (0, 0, 255), np.uint8))
    assert framegate("prepare", source, "door", "--licence", "MIT", "--picture", picture) == 0
    assert framegate("prepare", source, "door", "--score", 0.9) == 0
    said = capsys.readouterr().out
    assert "current version: this one" in said
    assert "current version: 1 is; into a running worker: framegate models load door@2" in said

    assert framegate("list") == 0
    assert "door         prepared; versions 1, 2; current 1" in capsys.readouterr().out
    assert framegate("show", "door@newest") == 0
    said = capsys.readouterr().out
    assert "2 of 1, 2; current is 1" in said
    assert "score_threshold  0.9" in said
    assert framegate("check", "door") == 0
    assert "sound on 5 pictures, alone and 5 at once; and as when it was prepared" in capsys.readouterr().out
    assert framegate("check", source) == 0
    assert "it was never prepared" in capsys.readouterr().out

    first = directory.find(home / ".local/share/framegate/models/door")
    assert first is not None
    assert first.card.licence == "MIT"
    planes = sample.read_sample(first.reference, first.card).planes[-1]
    middle = first.card.input_h // 2, first.card.input_w // 2
    assert planes[middle] == pytest.approx(82, abs=2), "the picture's red, as limited BT.601"


def test_mistakes(source: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code, said in (
        (("prepare", source, "detector"), ExitCode.MODEL, "a name of ours"),
        (("prepare", home / "no.onnx", "door"), ExitCode.MODEL, "no such file"),
        (("prepare", "yolox_nano", "door"), ExitCode.MODEL, "fetch it first"),
        (("prepare", source, "door", "--picture", source), ExitCode.MODEL, "not a picture"),
        (("prepare", source, "door", "--size", "big"), ExitCode.MODEL, "write WIDTHxHEIGHT"),
        (("show", "door"), ExitCode.MODEL, "no model named 'door'"),
        (("check",), ExitCode.CONFIG, "name a model"),
        (("split", source, "--batch", 0), ExitCode.MODEL, "batch: "),
        (("split", source, "--shape", "images"), ExitCode.MODEL, "write INPUT=SIDExSIDE"),
        (("status", "--worker", home / "w.sock"), ExitCode.FAILED, "no worker listens"),
    ):
        assert framegate(*arguments) == code, arguments
        assert said in capsys.readouterr().err


def test_split_prints_its_figures(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = save_transformer(home / "vit.onnx")
    assert framegate("split", source, "--first", "tokens", "--link-gbit", 0.001, "--into", home / "parts") == 0
    said = capsys.readouterr().out
    assert "DPU to worker: tokens float32 1x16x48, 3,072 B" in said
    assert "largest difference between chain and whole: " in said
    assert "(Sub, Div) is in pre" in said
    assert ": pays" in said
    assert (home / "parts" / "split.json").is_file()
    assert framegate("split", source, "--first", "tokens", "--link-gbit", 1e6, "--speedup", 1e6) == ExitCode.MODEL
    assert "does not pay: whole: " in capsys.readouterr().err
