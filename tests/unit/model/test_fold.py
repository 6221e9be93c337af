"""Folding: every head layout, sizes, batches; and what is refused, with the node's name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from pipelines.color import affine
from pipelines.errors import ModelError
from pipelines.model.card import read_card
from pipelines.model.fold import fold
from pipelines.model.options import FoldOptions
from pipelines.model.runtime import Runner
from pipelines.values import F32, ColorMatrix, ColorRange
from tests.fakes import heads


def answer(path: Path, batch: int = 1, luma: int = 120) -> F32:
    """Rows of a folded model for flat pictures."""
    card = read_card(path)
    planes = np.full((batch, card.input_h * 3 // 2, card.input_w), luma, np.uint8)
    color = np.stack([affine(card, ColorRange.FULL, ColorMatrix.BT601)] * batch)
    rows: F32 = Runner(str(path), "folded").run({"planes": planes, "color": color})["detections"]
    return rows


@pytest.mark.parametrize("family", heads.FAMILIES)
def test_each_layout_is_recognised_and_folds(family: str, tmp_path: Path) -> None:
    source = heads.FAMILIES[family](tmp_path / "in.onnx")

    report = fold(source, tmp_path / "out.onnx", FoldOptions(top_k=20))

    assert report.card.family == family
    assert report.rewriting == 0.0
    assert set(report.differences) == {1, 8}
    assert max(report.differences.values()) <= 1e-4
    assert answer(tmp_path / "out.onnx", 3).shape == (3, 20, 6)


@pytest.mark.parametrize("family", heads.RESIZABLE)
@pytest.mark.parametrize("wh", [(64, 128), (160, 96)])
def test_a_frozen_size_becomes_the_size_wanted(family: str, wh: tuple[int, int], tmp_path: Path) -> None:
    """The same network exported at the other size is the truth: folding both must give the same answers."""
    build = heads.FAMILIES[family]
    options = FoldOptions(width_px=wh[0], height_px=wh[1], top_k=30)
    fold(build(tmp_path / "frozen.onnx"), tmp_path / "resized.onnx", options)
    fold(build(tmp_path / "native.onnx", wh), tmp_path / "truth.onnx", options)
    rng = np.random.default_rng(1)
    card = read_card(tmp_path / "truth.onnx")
    feeds = {
        "planes": rng.integers(0, 255, (2, wh[1] * 3 // 2, wh[0]), np.uint8),
        "color": np.stack([affine(card, ColorRange.LIMITED, ColorMatrix.BT709)] * 2),
    }

    resized, truth = (Runner(str(tmp_path / f"{n}.onnx"), n).run(feeds)["detections"] for n in ("resized", "truth"))

    np.testing.assert_allclose(resized, truth, atol=1e-4)


def test_yolox_rows_by_hand(tmp_path: Path) -> None:
    """Cell (column 2, row 1) of stride 16 on a 96x64 input: index 96 + 1 * 6 + 2."""
    head = np.zeros((1, 96 + 24 + 6, 5 + 2), np.float32)
    head[0, 104] = [0.5, 0.25, np.log(2), np.log(3), 0.8, 0.1, 0.5]
    head[0, 125] = [0, 0, 0, 0, 1.0, 0.3, 0.0]  # the last cell: column 2, row 1 of stride 32
    fold(heads.told(tmp_path / "in.onnx", {"output": head}), tmp_path / "out.onnx")

    rows = answer(tmp_path / "out.onnx", 2)

    center, size = np.array([2.5 * 16, 1.25 * 16]), np.array([32, 48])
    best = [*(center - size / 2), *(center + size / 2), 0.4, 1]
    second = [64 - 16, 32 - 16, 64 + 16, 32 + 16, 0.3, 0]
    np.testing.assert_allclose(rows[:, :2], [[best, second]] * 2, rtol=1e-6)
    assert (rows[:, 2:, 4] == 0).all()


def test_yolov8_and_yolov5_rows_by_hand(tmp_path: Path) -> None:
    v8 = np.zeros((1, 4 + 2, 126), np.float32)
    v8[0, :, 7] = [30, 20, 10, 8, 0.2, 0.7]
    v5 = np.zeros((1, 3 * 126, 5 + 2), np.float32)
    v5[0, 7] = [30, 20, 10, 8, 0.5, 0.9, 0.7]
    fold(heads.told(tmp_path / "8.onnx", {"output0": v8}), tmp_path / "8.out.onnx")
    fold(heads.told(tmp_path / "5.onnx", {"output": v5}), tmp_path / "5.out.onnx")

    np.testing.assert_allclose(answer(tmp_path / "8.out.onnx")[0, 0], [25, 16, 35, 24, 0.7, 1], rtol=1e-6)
    np.testing.assert_allclose(answer(tmp_path / "5.out.onnx")[0, 0], [25, 16, 35, 24, 0.45, 0], rtol=1e-6)


def test_nms_free_rows_by_hand(tmp_path: Path) -> None:
    unit = np.array([0.5, 0.5, 0.25, 0.5], np.float32)  # of 96x64: 36 16 60 48
    rows = np.zeros((1, 10, 6), np.float32)
    rows[0, 3] = [1, 2, 3, 4, 0.9, 5]
    ranked = np.zeros((1, 10, 6), np.float32)
    ranked[0, 3] = [*unit, 0.9, 5]
    mixed = np.zeros((1, 10, 4 + 3), np.float32)
    mixed[0, 4] = [*unit, 0.1, 0.2, 0.6]
    boxes, logits = np.zeros((1, 10, 4), np.float32), np.full((1, 10, 3), -9, np.float32)
    boxes[0, 5], logits[0, 5] = unit, [-3, 0, -2]
    scores = np.linspace(0, 0.45, 10, dtype=np.float32)[None]
    nines = np.arange(10, dtype=np.float32)[None, :, None].repeat(4, 2)
    cases: dict[str, tuple[dict[str, heads.Array], list[float]]] = {
        "a": ({"output0": rows}, [1, 2, 3, 4, 0.9, 5]),
        "e": ({"output0": ranked}, [36, 16, 60, 48, 0.9, 5]),
        "b": ({"output0": mixed}, [36, 16, 60, 48, 0.6, 2]),
        "c": ({"logits": logits, "pred_boxes": boxes}, [36, 16, 60, 48, 0.5, 1]),
        "d": ({"labels": np.arange(10)[None], "boxes": nines, "scores": scores}, [9, 9, 9, 9, 0.45, 9]),
    }
    for name, (outputs, expected) in cases.items():
        fold(heads.told(tmp_path / f"{name}.onnx", outputs), tmp_path / f"{name}.out.onnx")
        np.testing.assert_allclose(answer(tmp_path / f"{name}.out.onnx")[0, 0], expected, rtol=1e-6)


def test_a_batch_mixes_colours(tmp_path: Path) -> None:
    """Each picture has its own matrix: alone or in a batch, the answer is the same."""
    fold(heads.yolov8(tmp_path / "in.onnx"), tmp_path / "out.onnx")
    runner = Runner(str(tmp_path / "out.onnx"), "folded")
    card = read_card(tmp_path / "out.onnx")
    planes = np.random.default_rng(0).integers(0, 255, (1, 96, 96), np.uint8).repeat(2, 0)
    colors = np.stack([affine(card, ColorRange.FULL, m) for m in (ColorMatrix.BT601, ColorMatrix.BT709)])

    both = runner.run({"planes": planes, "color": colors})["detections"]
    alone = [runner.run({"planes": planes[:1], "color": c[None]})["detections"][0] for c in colors]

    np.testing.assert_allclose(both, alone, atol=1e-5)
    assert not np.allclose(alone[0], alone[1], atol=1e-3)


def test_the_card_travels_in_the_file(tmp_path: Path) -> None:
    source = heads.yolov8(tmp_path / "in.onnx", metadata={"names": "{0: 'cat', 1: 'dog', 2: 'owl'}"})

    report = fold(source, tmp_path / "out.onnx", FoldOptions(name="zoo", score_threshold=0.4))

    card = read_card(tmp_path / "out.onnx")
    assert card == report.card
    assert (card.name, card.classes, card.score_threshold) == ("zoo", ("cat", "dog", "owl"), 0.4)
    assert (card.anchor, card.channel_order, card.input_w, card.input_h) == ("center", "rgb", 96, 64)


def test_yolox_is_fed_as_its_authors_do(tmp_path: Path) -> None:
    card = fold(heads.yolox(tmp_path / "in.onnx"), tmp_path / "out.onnx").card

    assert (card.anchor, card.channel_order, card.scale, card.pad_rgb) == ("top_left", "bgr", 1.0, (114, 114, 114))


def test_rf_detr_is_normalised_as_imagenet(tmp_path: Path) -> None:
    card = fold(heads.nms_free_logits(tmp_path / "in.onnx", "dets", "labels"), tmp_path / "out.onnx").card

    assert card.offset == (-0.485, -0.456, -0.406)
    assert card.std == (0.229, 0.224, 0.225)
    assert card.nms_free


def test_fewer_candidates_than_rows_is_said(tmp_path: Path) -> None:
    report = fold(heads.nms_free_xyxy(tmp_path / "in.onnx"), tmp_path / "out.onnx", FoldOptions(top_k=500))

    assert report.card.top_k == 96
    assert any("96 candidates" in note for note in report.notes)


def test_half_precision_goes_in_and_out(tmp_path: Path) -> None:
    """Input and output float16, arithmetic as the model has it."""
    model = onnx.load(str(heads.yolov8(tmp_path / "in.onnx")))
    graph = model.graph
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = "wide" if name == "images" else name
    graph.node.insert(0, onnx.helper.make_node("Cast", ["images"], ["wide"], to=onnx.TensorProto.FLOAT))
    graph.node.append(onnx.helper.make_node("Cast", ["output0"], ["half"], to=onnx.TensorProto.FLOAT16))
    graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("half", onnx.TensorProto.FLOAT16, None))
    onnx.save(model, str(tmp_path / "half.onnx"))

    report = fold(tmp_path / "half.onnx", tmp_path / "out.onnx")

    assert max(report.differences.values()) < 1e-3
    assert answer(tmp_path / "out.onnx").dtype == np.float32


def test_assumed_class_names_are_said(tmp_path: Path) -> None:
    unnamed = fold(heads.nms_free_xyxy(tmp_path / "a.onnx"), tmp_path / "out.onnx")
    numbered = fold(heads.yolov8(tmp_path / "b.onnx"), tmp_path / "out.onnx")
    named = fold(tmp_path / "b.onnx", tmp_path / "out.onnx", FoldOptions(classes=("a", "b", "c"), top_k=9))

    assert unnamed.card.classes[:2] == ("person", "bicycle")
    assert "COCO" in unnamed.notes[0]
    assert "class_0" in numbered.notes[0]
    assert named.notes == ()


def refused(source: Path, options: FoldOptions | None = None) -> str:
    """The refusal's text; nothing may have been written."""
    target = source.with_name("out.onnx")
    with pytest.raises(ModelError) as caught:
        fold(source, target, options)
    assert not target.exists()
    return str(caught.value)


def test_a_constant_that_is_no_grid_is_refused_by_name(tmp_path: Path) -> None:
    net = heads.Net()
    rows = net.flat_levels(4 + heads.CLASSES)
    learned = net.const(net.rng.normal(0, 1, (1, 1, 126)))
    source = net.save(tmp_path / "in.onnx", net.op("Add", rows, learned, output="output0"))
    name = net.nodes[-1].name

    assert fold(source, tmp_path / "own.onnx").card.input_w == 96
    text = refused(source, FoldOptions(width_px=128, height_px=64))
    assert name in text
    assert "no grid" in text


def test_a_constant_of_batch_one_is_refused_by_name(tmp_path: Path) -> None:
    """A learned query concatenated to the features: runs at batch 1 only."""
    net = heads.Net()
    rows = net.cut(net.flat_levels(4 + heads.CLASSES), 2, 0, 125)
    query = net.const(np.zeros((1, 4 + heads.CLASSES, 1)))
    source = net.save(tmp_path / "in.onnx", net.op("Concat", rows, query, output="output0", axis=2))

    assert net.nodes[-1].name in refused(source)


def test_pictures_that_leak_into_each_other_are_refused(tmp_path: Path) -> None:
    """Runs at every batch, but each picture gets the answer of the first."""
    net = heads.Net()
    rows = net.flat_levels(4 + heads.CLASSES)
    first = net.op("Gather", rows, net.ints(0), axis=0)
    net.op("Add", net.op("Mul", rows, net.const(0.0)), first, output="output0")

    assert "differ" in refused(net.save(tmp_path / "in.onnx", "output0"))


def merged(path: Path, *frozen: int) -> Path:
    """A head [1, 96, 6] that takes a detour through a frozen shape."""
    net = heads.Net()
    away = net.op("Reshape", net.level(8, 6), net.ints(*frozen))
    back = net.op("Mul", net.op("Reshape", away, net.ints(1, 6, 96)), net.const(100.0))
    return net.save(path, net.op("Transpose", back, output="output0", perm=[0, 2, 1]))


def test_a_batch_merged_with_attention_heads_is_freed(tmp_path: Path) -> None:
    source = merged(tmp_path / "in.onnx", 2, 3, 96)

    report = fold(source, tmp_path / "out.onnx", FoldOptions(width_px=160, height_px=64))

    assert report.card.family == "nms_free_xyxy"
    assert max(report.differences.values()) < 1e-4


def test_a_batch_merged_with_the_size_is_refused_by_name(tmp_path: Path) -> None:
    source = merged(tmp_path / "in.onnx", 6 * 8, 12)

    assert fold(source, tmp_path / "own.onnx").card.input_w == 96
    assert "node Reshape_" in refused(source, FoldOptions(width_px=160, height_px=128))


@pytest.mark.parametrize(
    ("size", "part"), [((98, 64), "multiples of 4"), ((100, 64), "100x64"), ((96, 0), "")], ids=["odd", "stride", "own"]
)
def test_sizes_that_cannot_be(size: tuple[int, int], part: str, tmp_path: Path) -> None:
    source = heads.yolox(tmp_path / "in.onnx")
    options = FoldOptions(width_px=size[0], height_px=size[1])

    if part:
        assert part in refused(source, options)
    else:
        assert fold(source, tmp_path / "out.onnx", options).card.input_h == 64


def test_files_that_are_no_detectors(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    classifier = heads.told(tmp_path / "classifier.onnx", {"prob": np.zeros((1, 1000), np.float32)})
    fixed = heads.Net(batch=4)
    fixed.op("Identity", "images", output="x")

    assert "not a model" in refused(tmp_path / "text.onnx")
    assert "not a model" in refused(tmp_path / "missing.onnx")
    assert "prob [1, 1000]" in refused(classifier)
    assert "fixed batch of 4" in refused(fixed.save(tmp_path / "fixed.onnx", "x"))
    assert "do not fit family yolov5" in refused(heads.yolov8(tmp_path / "v8.onnx"), FoldOptions(family="yolov5"))
    assert "2 class names" in refused(heads.yolov8(tmp_path / "v8.onnx"), FoldOptions(classes=("a", "b")))


def test_a_difference_above_the_tolerance_is_refused_and_keeps_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "out.onnx").write_text("old")
    source = heads.yolox(tmp_path / "in.onnx")

    with pytest.raises(ModelError, match="differ by"):
        fold(source, tmp_path / "out.onnx", FoldOptions(tolerance=1e-12))

    assert (tmp_path / "out.onnx").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
