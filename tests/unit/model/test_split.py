"""Models cut in three: the chain is the whole, what goes wrong is named, and a cut in vain is refused with figures."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pipelines.errors import ModelError
from pipelines.model.graph import load
from pipelines.model.runtime import Runner
from pipelines.model.split import SplitOptions, SplitReport, split
from pipelines.model.split_chain import Chain, Part, open_chain
from pipelines.model.split_cost import Cost, CostOptions, Verdict, cost, fair_shares
from pipelines.model.split_graph import Wiring, plan
from pipelines.model.split_propose import propose
from pipelines.model.split_shape import Array, Feeds, made_up, pinned
from tests.fakes.transformer import save_transformer

THIN = CostOptions(link_gbit_s=0.001)
"""A link so slow that bytes alone decide: no verdict here hangs on how busy the machine is."""
FAT = CostOptions(link_gbit_s=1e6, worker_speedup=1e6)
"""A link and worker so fast that whatever the DPU does is in vain."""


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_transformer(tmp_path_factory.mktemp("vit") / "vit.onnx")


def run_split(source: Path, target: Path | None = None, cost: CostOptions = THIN, **said: Any) -> SplitReport:
    return split(source, target, SplitOptions.model_validate({"runs": 3, "cost": cost} | said))


def same(chain: Chain, whole: Path, seed: int, batch: int = 1) -> float:
    """Largest difference between a chain and a whole, on inputs of another seed than the splitter's own."""
    model = load(whole)
    feeds = made_up(pinned(model.graph, Wiring(model.graph), {}, batch), seed)
    expected = Runner(str(whole), "whole").run(feeds)
    found = chain.run(feeds)
    assert found.keys() == expected.keys()
    return max(float(np.abs(found[name] - expected[name]).max()) for name in expected)


def test_a_transformer_runs_as_a_chain(vit: Path, tmp_path: Path) -> None:
    report = run_split(vit, tmp_path, first=("tokens",), second=("block1",))
    assert report.parts.keys() == {"pre", "main", "post"}
    assert [(e.name, e.shape, e.bytes) for e in report.up] == [("tokens", (1, 16, 48), 3072)]
    assert [(e.name, e.shape) for e in report.down] == [("block1", (1, 17, 48))]
    assert report.difference < 1e-5
    assert same(open_chain(tmp_path), vit, seed=77) < 1e-5
    assert report.normalisation.startswith("the input's arithmetic (Sub, Div) is in pre")
    manifest = json.loads((tmp_path / "split.json").read_text())
    assert manifest["edges"]["tokens"] == {"name": "tokens", "dtype": "float32", "shape": [1, 16, 48], "bytes": 3072}
    for name in ("pre", "main", "post"):
        part = onnx.load(tmp_path / f"{name}.onnx")
        onnx.checker.check_model(part, full_check=True)
        for info in (*part.graph.input, *part.graph.output):
            assert all(side.dim_value for side in info.type.tensor_type.shape.dim), "shapes are numbers"


def test_arithmetic_on_shapes_does_not_go_around_a_cut(vit: Path) -> None:
    """The model reads its input's batch behind the cut; with fixed shapes that is a constant."""
    assert [e.name for e in run_split(vit, first=("tokens",)).up] == ["tokens"]
    wiring = Wiring(load(vit).graph)
    with pytest.raises(ModelError, match="pixels goes around the cut at tokens into main"):
        plan(wiring, ["tokens"], [])


def test_other_batches(vit: Path, tmp_path: Path) -> None:
    report = run_split(vit, tmp_path, first=("tokens",), batch=3)
    assert report.up[0].shape == (3, 16, 48)
    assert same(open_chain(tmp_path), vit, seed=5, batch=3) < 1e-5


def test_a_cut_of_an_earlier_split_does_not_stay(vit: Path, tmp_path: Path) -> None:
    run_split(vit, tmp_path, first=("tokens",), second=("block1",), force=True)
    run_split(vit, tmp_path, first=("tokens",))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["main.onnx", "pre.onnx", "split.json"]
    assert same(open_chain(tmp_path), vit, seed=6) < 1e-5


def test_a_proposal_is_the_cut_with_fewest_bytes_on_a_thin_link(vit: Path) -> None:
    report = run_split(vit)
    assert report.proposed
    crossing = sum(e.bytes for e in (*report.up, *report.down))
    assert crossing < report.verdict.whole.up_bytes / 4
    assert report.verdict.gain > 0.7


def test_a_cut_in_vain_is_refused_with_figures_and_written_by_force(vit: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"does not pay: whole: [\d.]+ ms .*49,152 B up.*chain: [\d.]+ ms .*3,072 B up"
    ):
        run_split(vit, tmp_path / "no", FAT, first=("tokens",))
    assert not (tmp_path / "no").exists()
    with pytest.raises(ModelError, match=r"the best cut found, .*does not pay"):
        run_split(vit, cost=FAT)
    report = run_split(vit, tmp_path / "yes", FAT, first=("tokens",), force=True)
    assert not report.verdict.pays
    assert (tmp_path / "yes" / "main.onnx").exists()


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"first": ("tokns",)}, r"no tensor or node named 'tokns'.*near it are tokens"),
        ({"first": ("c0",)}, "a constant cannot be cut at"),
        ({"first": ("tokens",), "second": ("patches",)}, "main would be empty"),
        ({"first": ("block1",), "second": ("block0",)}, "main would be empty"),
        ({"shapes": {"pixel": (1,)}}, "no input named pixel; there are pixels"),
        ({"shapes": {"pixels": (1, 3, 32, 32)}}, "input pixels is batchx3x64x64; 1x3x32x32 was asked for"),
    ],
)
def test_mistakes_are_named(vit: Path, said: dict[str, Any], error: str) -> None:
    with pytest.raises(ModelError, match=error):
        run_split(vit, **said)


# --- small graphs, each with one thing wrong --------------------------------------------------------------------------


def save(path: Path, nodes: list[onnx.NodeProto], sides: list[int | str], *outputs: str) -> Path:
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, sides)],
        [onnx.ValueInfoProto(name=name) for name in outputs],
    )
    for info in graph.output:
        info.CopyFrom(helper.make_tensor_value_info(info.name, TensorProto.FLOAT, None))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def node(op: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], name=f"{op}_{output}", **attributes)


def test_a_free_side_must_be_told(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [node("Relu", "x", "a"), node("Neg", "a", "y")], ["n", "length"], "y")
    with pytest.raises(ModelError, match=r"input x is nxlength: length must be a number.*--shape x=nxlength"):
        run_split(path, first=("a",))
    assert run_split(path, first=("a",), shapes={"x": (2, 5)}, force=True).up[0].shape == (2, 5)


def test_a_frozen_batch_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [node("Relu", "x", "a"), node("Neg", "a", "y")], [1, 4], "y")
    with pytest.raises(ModelError, match="its batch is frozen at 1, 4 was asked for"):
        run_split(path, first=("a",), batch=4)


def test_a_batch_frozen_inside_names_the_node(tmp_path: Path) -> None:
    nodes = [
        node("Constant", "", "c", value_ints=[1, 4]),
        node("Relu", "x", "a"),
        node("Reshape", "a c", "b"),
        node("Neg", "b", "y"),
    ]
    path = save(tmp_path / "m.onnx", nodes, ["n", 4], "y")
    with pytest.raises(ModelError, match="Reshape_b"):
        run_split(path, first=("a",), batch=2)


def test_a_shape_that_depends_on_the_data_is_no_place_to_cut(tmp_path: Path) -> None:
    nodes = [
        node("Round", "x", "whole"),
        node("NonZero", "whole", "found"),
        node("Cast", "found", "as_float", to=TensorProto.FLOAT),
        node("ReduceSum", "as_float", "y", keepdims=0),
    ]
    path = save(tmp_path / "m.onnx", nodes, [1, 50], "y")
    with pytest.raises(ModelError, match="the shape of found depends on the data"):
        run_split(path, first=("found",), force=True)
    assert run_split(path, first=("whole",), force=True).difference == 0


def test_what_goes_around_is_named_and_may_be_named_too(tmp_path: Path) -> None:
    nodes = [node("Relu", "x", "a"), node("Neg", "x", "b"), node("Exp", "a", "c"), node("Add", "c b", "y")]
    path = save(tmp_path / "m.onnx", nodes, [1, 4], "y")
    with pytest.raises(ModelError, match="x goes around the cut at a into main"):
        run_split(path, first=("a",))
    report = run_split(path, first=("a", "b"), force=True)
    assert [e.name for e in report.up] == ["a", "b"]
    with pytest.raises(ModelError, match=r"a goes around the cut at y2 into post|a goes around"):
        run_split(
            save(
                tmp_path / "n.onnx",
                [node("Relu", "x", "a"), node("Exp", "a", "y2"), node("Add", "a y2", "y")],
                [1, 4],
                "y",
            ),
            second=("y2",),
        )


def test_what_post_needs_of_pre_stays_on_the_dpu(tmp_path: Path) -> None:
    nodes = [node("Relu", "x", "a"), node("Exp", "a", "b"), node("Neg", "b", "c"), node("Add", "c a", "y")]
    path = save(tmp_path / "m.onnx", nodes, [1, 4], "y")
    report = run_split(path, tmp_path / "parts", first=("a",), second=("c",), force=True)
    assert report.kept == ("a",)
    assert [e.name for e in report.down] == ["c"]
    assert same(open_chain(tmp_path / "parts"), path, seed=3) == 0


def test_outputs_of_every_part_come_out(tmp_path: Path) -> None:
    nodes = [node("Relu", "x", "o1"), node("Exp", "o1", "o2"), node("Neg", "o2", "o3")]
    path = save(tmp_path / "m.onnx", nodes, [1, 4], "o3", "o1", "o2")
    run_split(path, tmp_path / "parts", first=("o1",), second=("o2",), force=True)
    assert same(open_chain(tmp_path / "parts"), path, seed=3) == 0


def test_normalisation_cut_in_two_is_said(tmp_path: Path) -> None:
    def constant(name: str, value: float) -> onnx.NodeProto:
        return node("Constant", "", name, value_float=value)

    nodes = [
        constant("mean", 120.0),
        constant("std", 60.0),
        node("Sub", "x mean", "a"),
        node("Div", "a std", "b"),
        node("Exp", "b", "y"),
    ]
    path = save(tmp_path / "m.onnx", nodes, [1, 4], "y")
    assert "pre and main each do a share" in run_split(path, first=("a",), force=True).normalisation
    plain = save(tmp_path / "n.onnx", [node("Relu", "x", "a"), node("Neg", "a", "y")], [1, 4], "y")
    assert "does not normalise" in run_split(plain, first=("a",), force=True).normalisation


def test_given_values_are_used_and_checked(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [node("Relu", "x", "a"), node("Neg", "a", "y")], [1, 4], "y")
    options = SplitOptions(first=("a",), runs=3, force=True)
    values = tmp_path / "values.npz"
    np.savez(values, x=np.full((1, 4), 9, np.float32))
    assert split(path, None, options, values).difference == 0
    np.savez(values, x=np.full((1, 5), 9, np.float32))
    with pytest.raises(ModelError, match=r"x is float32 \(1, 5\), wanted is float32 \(1, 4\)"):
        split(path, None, options, values)
    np.savez(values, y=np.zeros(1))
    with pytest.raises(ModelError, match="cannot be read as values of x"):
        split(path, None, options, values)


def test_a_chain_that_is_not_the_whole_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "m.onnx", [node("Relu", "x", "a"), node("Neg", "a", "y")], [1, 4], "y")
    run = Chain.run

    def off(self: Chain, feeds: Feeds) -> dict[str, Array]:
        return {name: value + 0.01 for name, value in run(self, feeds).items()}

    monkeypatch.setattr(Chain, "run", off)
    with pytest.raises(ModelError, match=r"output y of the chain differs by 0\.01"):
        run_split(path, tmp_path / "parts", first=("a",), force=True)
    assert not (tmp_path / "parts").exists()


# --- the pure parts ---------------------------------------------------------------------------------------------------


def test_costs_add_up() -> None:
    way = cost(CostOptions(link_gbit_s=8, worker_speedup=4), 1000, 4000, 600, 400)
    assert (way.dpu_ns, way.worker_ns, way.link_ns, way.total_ns) == (1000, 1000, 1000, 3000)
    half = Cost(0, 1500, 0, 0, 0)
    assert Verdict(way, half, 0.05).gain == pytest.approx(0.5)
    assert Verdict(way, half, 0.05).pays
    assert not Verdict(way, way, 0.05).pays


def test_noise_does_not_make_a_cut_pay() -> None:
    assert fair_shares({"whole": 100, "main": 80, "post": 10}) == pytest.approx({"main": 800 / 9, "post": 100 / 9})
    assert fair_shares({"whole": 100, "main": 80, "post": 30}) == {"main": 80, "post": 30}


def test_the_proposal_is_the_best_of_all_pairs(tmp_path: Path) -> None:
    """Against brute force over every pair of places."""
    names = "abcdefgh"
    nodes = [node("Relu", "x", "a"), *(node("Relu", one, two) for one, two in pairwise(names))]
    path = save(tmp_path / "m.onnx", nodes, [1, 4], "h")
    wiring = Wiring(load(path).graph)
    sizes = dict(zip(("x", *names), (900, 500, 40, 700, 300, 800, 30, 600, 900), strict=True))
    values = {name: np.zeros(size, np.uint8) for name, size in sizes.items()}
    times = np.array([5.0, 1, 8, 200, 900, 7, 3, 2])
    options = CostOptions(link_gbit_s=8, worker_speedup=10)
    found = propose(wiring, values, times, options)
    assert found is not None

    def total(i: int, j: int) -> float:
        up, down = sizes[("x", *names)[i]], sizes[("x", *names)[j]]
        return float(times.sum() - times[i:j].sum() * 0.9 + up + down)

    pairs = [(i, j) for i in range(8) for j in range(i + 1, 9) if (i, j) != (0, 8)]
    best = min((total(i, j), i, j) for i, j in pairs if times[i:j].sum() >= times.sum() / 2)
    assert found.expected_ns == int(best[0])
    assert (found.first, found.second) == (("b",), ("f",))


def test_a_manifest_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text("[]")
    with pytest.raises(ModelError, match=r"split\.json cannot be read"):
        open_chain(tmp_path)


def test_main_may_run_elsewhere(vit: Path, tmp_path: Path) -> None:
    run_split(vit, tmp_path, first=("tokens",), second=("block1",))
    asked: list[str] = []

    def elsewhere(file: Path) -> Part:
        asked.append(file.name)
        return Runner(str(file), "elsewhere")

    assert same(open_chain(tmp_path, elsewhere), vit, seed=8) < 1e-5
    assert asked == ["main.onnx"]
