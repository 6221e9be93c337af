"""`framegate bench recall`: the options. The bench is scripts/bench/recall.

It draws and decodes, which app/ never does, and needs a source checkout.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from pipelines.errors import ConfigError

_ROOT = Path(__file__).parents[2]


def add_recall(parser: argparse.ArgumentParser) -> None:
    """Options of `bench recall`."""
    parser.add_argument("--report", type=Path, metavar="FILE", help="write all figures here, as JSON")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the curves here, as PNG")
    parser.add_argument("--quick", action="store_true", help="two short scenes: about two minutes")
    parser.add_argument("--only", nargs="+", default=[], metavar="SOURCE", help="these sources only")
    parser.add_argument(
        "--development", action="store_true", help="the scenes on which constants were chosen, too: twice as long"
    )
    parser.add_argument(
        "--gate", nargs="+", default=[], metavar="NAME=VALUE", help="options of the packet gate, such as hold_s=2"
    )
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where clips and tapes are kept (.cache/recall)")
    parser.add_argument("--footage", type=Path, metavar="DIR", help="recorded clips (default: $FRAMEGATE_FOOTAGE)")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="at once (default 2)")
    parser.set_defaults(command=run_recall)


def run_recall(arguments: argparse.Namespace) -> int:
    """Run scripts/bench/recall of this checkout. Takes up to 25 minutes.

    Raises:
        ConfigError: this is an installation, or an option of the gate is none.
    """
    if not (_ROOT / "scripts" / "bench" / "recall").is_dir():
        raise ConfigError("this bench needs a source checkout of Framegate: its scenes are made there")
    if str(_ROOT) not in sys.path:
        sys.path.insert(0, str(_ROOT))
    code: int = importlib.import_module("scripts.bench.recall.command").run_recall(arguments)
    return code
