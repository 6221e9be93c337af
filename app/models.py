"""`framegate models`: prepare, fold, show, list, fetch and check detectors; models_worker.py steers running ones."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from pipelines.errors import ConfigError, ModelError
from pipelines.model.options import FamilyName, FoldOptions
from pipelines.values import U8, ModelCard


def add_models(parser: argparse.ArgumentParser) -> None:
    """The subcommands of `framegate models`."""
    from app.models_split import add_split
    from app.models_worker import add_worker_commands

    commands = parser.add_subparsers(required=True, metavar="ACTION")
    _prepare(commands.add_parser("prepare", help="fold a detector into a model directory, as its next version"))
    _fold(commands.add_parser("fold", help="fold a detector: planes in, boxes out, checked against the original"))
    show_parser = commands.add_parser("show", help="print a model's card, and a directory's versions")
    show_parser.add_argument("model", help="a name, an ONNX file, or a model directory, DIR or DIR@VERSION")
    show_parser.set_defaults(command=show)
    commands.add_parser("list", help="prepared, shipped and fetchable models").set_defaults(command=list_models)
    pull_parser = commands.add_parser("pull", help="fetch a known public model, checked by SHA-256")
    pull_parser.add_argument("name")
    pull_parser.add_argument("--into", type=Path, metavar="DIR", help="default: the cache, where its name finds it")
    pull_parser.set_defaults(command=pull)
    _check(commands.add_parser("check", help="run a model on its reference pictures, as a worker does before it loads"))
    add_worker_commands(commands)
    add_split(commands.add_parser("split", help="cut a model in parts for DPU, worker and DPU; refused if in vain"))


def _prepare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="IN.onnx|NAME", help="a detector's file, folded or not, or a pulled model")
    parser.add_argument("target", metavar="DIR|NAME", help="model directory; a bare name: in the store, found by it")
    parser.add_argument(
        "--picture",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="reference picture beside the drawn ones; may be repeated",
    )
    _fold_options(parser)
    parser.set_defaults(command=prepare)


def _fold(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="IN.onnx")
    parser.add_argument("target", type=Path, metavar="OUT.onnx")
    _fold_options(parser)
    parser.set_defaults(command=fold)


def _fold_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", metavar="WxH", help="network input, px; default: the model's own")
    parser.add_argument("--family", choices=get_args(FamilyName), help="default: recognised from names and shapes")
    parser.add_argument("--name", default="", help="in cards and alerts; default: the file's or directory's name")
    parser.add_argument("--classes", type=Path, metavar="FILE", help="class names, one a line; default: the file's own")
    default = FoldOptions()
    parser.add_argument(
        "--top-k",
        type=int,
        default=default.top_k,
        metavar="K",
        help="candidates per picture before NMS (default %(default)s)",
    )
    score = default.score_threshold
    parser.add_argument("--score", type=float, default=score, help="recommended score threshold (default %(default)s)")
    parser.add_argument("--licence", default="", help="of the weights, for the card")


def _check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", help="a name, an ONNX file, or a model directory, DIR or DIR@VERSION")
    parser.add_argument("--spec", help=argparse.SUPPRESS)
    parser.set_defaults(command=check)


def prepare(arguments: argparse.Namespace) -> int:
    from pipelines.model import directory
    from pipelines.model.catalog import default_store
    from pipelines.model.known import CATALOG, SHIPPED
    from pipelines.model.prepare import prepare as make

    target = Path(arguments.target)
    if "/" not in arguments.target:
        if arguments.target in (*SHIPPED, *CATALOG):
            raise ModelError(f"{arguments.target} is a name of ours: choose another, or a directory (./NAME)")
        target = default_store() / arguments.target

    def pictures(card: ModelCard) -> Sequence[U8]:
        if not arguments.picture:
            return ()
        from app.pictures import read_pictures

        return read_pictures(arguments.picture, card)

    source, known = _source(arguments.source)
    made = make(source, target, _told(arguments, known), pictures)
    version = made.version
    _print_card(version.card, f"{version.directory}@{version.number}")
    current = directory.current(version.directory)
    waits = f"{current} is; into a running worker: framegate models load {arguments.target}@{version.number}"
    print(f"  current version: {'this one' if current == version.number else waits}")
    for batch, difference in made.differences.items():
        print(f"  batch {batch}: largest difference to the original {difference:.2g}")
    for note in made.notes:
        print(f"  note: {note}")
    return 0


def _source(name: str) -> tuple[Path, FoldOptions]:
    """The file to prepare, and what is known about how to fold it."""
    from pipelines.model.catalog import default_cache
    from pipelines.model.known import CATALOG

    if name in CATALOG:
        path = default_cache() / f"{name}.onnx"
        if not path.is_file():
            raise ModelError(f"model {name}: fetch it first: framegate models pull {name}")
        return path, CATALOG[name].fold
    return Path(name), FoldOptions()


def _told(arguments: argparse.Namespace, known: FoldOptions) -> FoldOptions:
    """What the command line says, over what is known of the model."""
    width, height = _size(arguments.size)
    classes = arguments.classes.read_text().splitlines() if arguments.classes else ()
    told = FoldOptions(
        width_px=width,
        height_px=height,
        family=arguments.family,
        name=arguments.name,
        classes=tuple(name.strip() for name in classes if name.strip()),
        top_k=arguments.top_k,
        score_threshold=arguments.score,
        licence=arguments.licence,
    )
    default = FoldOptions()
    said = {key: value for key, value in told.model_dump().items() if value != getattr(default, key)}
    return known.model_copy(update=said)


def fold(arguments: argparse.Namespace) -> int:
    from pipelines.model.fold import fold as fold_model

    report = fold_model(arguments.source, arguments.target, _told(arguments, FoldOptions()))
    _print_card(report.card, str(arguments.target))
    for batch, difference in report.differences.items():
        print(f"  batch {batch}: largest difference to the original {difference:.2g}")
    for note in report.notes:
        print(f"  note: {note}")
    return 0


def _print_card(card: ModelCard, where: str) -> None:
    print(f"{where}: {card.name}, {card.family}, {card.input_w}x{card.input_h}, {len(card.classes)} classes")


def show(arguments: argparse.Namespace) -> int:
    from pipelines.model import directory
    from pipelines.model.card import read_card
    from pipelines.model.catalog import resolve

    path = resolve(arguments.model)
    print(f"{'file':16s} {path}")
    version = directory.version_of(path)
    if version is not None:
        there, current = directory.numbers(version.directory), directory.current(version.directory)
        print(f"{'version':16s} {version.number} of {', '.join(map(str, there))}; current is {current}")
        print(f"{'prepared':16s} {version.prepared} from {version.source}")
    for name, value in asdict(read_card(path)).items():
        shown = ", ".join(map(str, value)) if isinstance(value, tuple) else value
        print(f"{name:16s} {shown}")
    return 0


def list_models(arguments: argparse.Namespace) -> int:
    from pipelines.model import directory
    from pipelines.model.catalog import default_cache, default_store, store_names
    from pipelines.model.known import CATALOG, SHIPPED

    del arguments
    for name in store_names():
        folder = default_store() / name
        there = ", ".join(map(str, directory.numbers(folder)))
        print(f"{name:12s} prepared; versions {there}; current {directory.current(folder)}")
    for name in SHIPPED:
        print(f"{name:12s} shipped")
    for name, known in CATALOG.items():
        here = (default_cache() / f"{name}.onnx").is_file()
        state = "fetched" if here else f"framegate models pull {name} ({known.size_bytes / 1e6:.1f} MB)"
        print(f"{name:12s} {state}; {known.licence}; {known.notes}")
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Also the child that a worker asks (app/candidate.py): a whole deployment in, JSON out, at low priority."""
    from app.config.worker import ModelConfig, WorkerDeployment
    from pipelines import build_worker

    if arguments.spec is not None:
        os.nice(19)  # beside a worker that serves, and in its session: there it counts (sched(7), autogroups)
        config = WorkerDeployment.model_validate_json(arguments.spec)
        path, sha256, report = build_worker.check_model(config.worker, config.model)
        print(json.dumps({"path": str(path), "sha256": sha256} | asdict(report)))
        return 0
    if arguments.model is None:
        raise ConfigError("check: name a model")
    path, _, report = build_worker.check_model(WorkerDeployment().worker, ModelConfig(detector=arguments.model))
    held = "and as when it was prepared" if report.compared else "no reference answers: it was never prepared"
    print(f"{path}: sound on {report.pictures} pictures, alone and {report.batch} at once; {held}")
    print(f"  largest differences: score {report.score_gap:.2g}, box {report.box_gap_px:.2g} px")
    return 0


def pull(arguments: argparse.Namespace) -> int:
    from pipelines.model.catalog import default_cache
    from pipelines.model.pull import pull as fetch

    def progress(done: int, total: int) -> None:
        print(f"\r{done / 1e6:.1f} of {total / 1e6:.1f} MB", end="", flush=True)

    path = fetch(arguments.name, arguments.into or default_cache(), progress)
    print(f"\n{path}")
    return 0


def _size(text: str | None) -> tuple[int, int]:
    """(width, height), 0 for the model's own."""
    if text is None:
        return 0, 0
    try:
        width, height = map(int, text.lower().split("x"))
    except ValueError:
        raise ModelError(f"--size {text}: write WIDTHxHEIGHT in pixels, such as 640x384") from None
    return width, height
