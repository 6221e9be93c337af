"""`framegate bench batcher`: the options. The bench is scripts/bench/batcher.py and needs a source checkout."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from pipelines.errors import ConfigError

_ROOT = Path(__file__).parents[2]


def add_batcher(parser: argparse.ArgumentParser) -> None:
    """Options of `bench batcher`."""
    parser.add_argument("--report", type=Path, metavar="FILE", help="write all figures here, as JSON")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of each trace (default 3)")
    parser.set_defaults(command=run_batcher)


def run_batcher(arguments: argparse.Namespace) -> int:
    """Run scripts/bench/batcher.py of this checkout.

    Raises:
        ConfigError: this is an installation.
    """
    if not (_ROOT / "scripts" / "bench" / "batcher.py").is_file():
        raise ConfigError("this bench needs a source checkout of Framegate: its arrival traces are there")
    if str(_ROOT) not in sys.path:
        sys.path.insert(0, str(_ROOT))
    code: int = importlib.import_module("scripts.bench.batcher").run_batcher(arguments)
    return code
