"""`framegate models`: fold, show, list and fetch detectors."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from pipelines.errors import ModelError
from pipelines.model.options import FamilyName, FoldOptions


def add_models(parser: argparse.ArgumentParser) -> None:
    """The subcommands of `framegate models`."""
    commands = parser.add_subparsers(required=True, metavar="ACTION")
    _fold(commands.add_parser("fold", help="fold a detector: planes in, boxes out, checked against the original"))
    show_parser = commands.add_parser("show", help="print a folded model's card")
    show_parser.add_argument("model", help="a name, or an ONNX file")
    show_parser.set_defaults(command=show)
    commands.add_parser("list", help="shipped and fetchable models").set_defaults(command=list_models)
    pull_parser = commands.add_parser("pull", help="fetch a known public model, checked by SHA-256")
    pull_parser.add_argument("name")
    pull_parser.add_argument("--into", type=Path, metavar="DIR", help="default: the cache, where its name finds it")
    pull_parser.set_defaults(command=pull)


def _fold(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="IN.onnx")
    parser.add_argument("target", type=Path, metavar="OUT.onnx")
    parser.add_argument("--size", metavar="WxH", help="network input, px; default: the model's own")
    parser.add_argument("--family", choices=get_args(FamilyName), help="default: recognised from names and shapes")
    parser.add_argument("--name", default="", help="in cards and alerts; default: the file's name")
    parser.add_argument("--classes", type=Path, metavar="FILE", help="class names, one a line; default: the file's own")
    parser.add_argument(
        "--top-k",
        type=int,
        default=FoldOptions().top_k,
        metavar="K",
        help="candidates per picture before NMS (default %(default)s)",
    )
    parser.add_argument("--score", type=float, default=0.25, help="recommended score threshold (default 0.25)")
    parser.add_argument("--licence", default="", help="of the weights, for the card")
    parser.set_defaults(command=fold)


def fold(arguments: argparse.Namespace) -> int:
    from pipelines.model.fold import fold as fold_model

    width, height = _size(arguments.size)
    classes = arguments.classes.read_text().splitlines() if arguments.classes else ()
    options = FoldOptions(
        width_px=width,
        height_px=height,
        family=arguments.family,
        name=arguments.name,
        classes=tuple(name.strip() for name in classes if name.strip()),
        top_k=arguments.top_k,
        score_threshold=arguments.score,
        licence=arguments.licence,
    )
    report = fold_model(arguments.source, arguments.target, options)
    card = report.card
    print(f"{arguments.target}: {card.name}, {card.family}, {card.input_w}x{card.input_h}, {len(card.classes)} classes")
    for batch, difference in report.differences.items():
        print(f"  batch {batch}: largest difference to the original {difference:.2g}")
    for note in report.notes:
        print(f"  note: {note}")
    return 0


def show(arguments: argparse.Namespace) -> int:
    from pipelines.model.card import read_card
    from pipelines.model.catalog import resolve

    path = resolve(arguments.model)
    print(f"{'file':16s} {path}")
    for name, value in asdict(read_card(path)).items():
        shown = ", ".join(map(str, value)) if isinstance(value, tuple) else value
        print(f"{name:16s} {shown}")
    return 0


def list_models(arguments: argparse.Namespace) -> int:
    from pipelines.model.catalog import default_cache
    from pipelines.model.known import CATALOG, SHIPPED

    del arguments
    for name in SHIPPED:
        print(f"{name:12s} shipped")
    for name, known in CATALOG.items():
        here = (default_cache() / f"{name}.onnx").is_file()
        state = "fetched" if here else f"framegate models pull {name} ({known.size_bytes / 1e6:.1f} MB)"
        print(f"{name:12s} {state}; {known.licence}; {known.notes}")
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
