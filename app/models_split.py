"""`framegate models split`: a model in three parts, for DPU, worker and DPU."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import ModelError

if TYPE_CHECKING:
    from pipelines.model.split import SplitReport


def add_split(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="IN.onnx")
    parser.add_argument("--into", type=Path, metavar="DIR", help="write the parts here; default: only report")
    parser.add_argument(
        "--first", action="append", default=[], metavar="TENSOR|NODE", help="cut between pre and main; may be repeated"
    )
    parser.add_argument(
        "--second", action="append", default=[], metavar="TENSOR|NODE", help="cut between main and post, likewise"
    )
    parser.add_argument(
        "--shape", action="append", default=[], metavar="INPUT=1x3x416x416", help="of an input with free sides"
    )
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="first side of inputs where free (default 1)")
    parser.add_argument("--values", type=Path, metavar="FILE.npz", help="values for the inputs; default: made up")
    parser.add_argument(
        "--link-gbit", type=float, default=10.0, metavar="G", help="DPU to worker, Gbit/s (default %(default)s)"
    )
    parser.add_argument(
        "--speedup",
        type=float,
        default=10.0,
        metavar="X",
        help="how many times as fast as a core of this machine the worker runs the model (default %(default)s)",
    )
    parser.add_argument("--force", action="store_true", help="write the parts even if the cut does not pay")
    parser.set_defaults(command=split)


def split(arguments: argparse.Namespace) -> int:
    from pydantic import ValidationError

    from pipelines.model.split import SplitOptions
    from pipelines.model.split import split as split_model
    from pipelines.model.split_cost import CostOptions

    try:
        options = SplitOptions(
            first=tuple(arguments.first),
            second=tuple(arguments.second),
            shapes=dict(_shape(text) for text in arguments.shape),
            batch=arguments.batch,
            cost=CostOptions(link_gbit_s=arguments.link_gbit, worker_speedup=arguments.speedup),
            force=arguments.force,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ModelError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    _print(split_model(arguments.source, arguments.into, options, arguments.values))
    if arguments.into is not None:
        print(f"written to {arguments.into}")
    return 0


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, sides = text.rpartition("=")
    try:
        return name, tuple(int(side) for side in sides.split("x"))
    except ValueError:
        raise ModelError(f"--shape {text}: write INPUT=SIDExSIDE..., such as images=1x3x416x416") from None


def _print(report: SplitReport) -> None:
    print(f"{'cut' if not report.proposed else 'best cut found'}:")
    for where, edges in (("DPU to worker", report.up), ("worker to DPU", report.down)):
        for edge in edges:
            sides = "x".join(map(str, edge.shape))
            print(f"  {where}: {edge.name} {edge.dtype} {sides}, {edge.bytes:,} B")
    if report.kept:
        print(f"  stays on the DPU: {', '.join(report.kept)}")
    for name, taken_ns in report.times_ns.items():
        nodes = f", {report.parts[name]} nodes" if name in report.parts else ""
        print(f"  {name:5s} {taken_ns / 1e6:9.3f} ms on one core here{nodes}")
    print(f"  largest difference between chain and whole: {report.difference:.3g}")
    print(f"  {report.normalisation}")
    for way, one in (("whole", report.verdict.whole), ("chain", report.verdict.chain)):
        print(f"  {way}: {one}")
    print(f"  gain {report.verdict.gain:.1%}: {'pays' if report.verdict.pays else 'does not pay'}")
