"""`framegate bench cameras` and `bench capacity`: the options. The benches are scripts/bench/cameras.py.

They need a source checkout: the RTSP server, the drawn footage and the peers are no part of an installation.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from types import ModuleType

from pipelines.errors import ConfigError

_ROOT = Path(__file__).parents[2]


def add_cameras(parser: argparse.ArgumentParser) -> None:
    """Options of `bench cameras`."""
    parser.add_argument("--cameras", type=int, default=64, metavar="N", help="RTSP cameras, 1080p25 (default 64)")
    parser.add_argument("--seconds", type=float, default=120, metavar="S", help="measured, after warm-up (default 120)")
    parser.add_argument(
        "--repeats", type=int, default=1, metavar="N", help="runs; events are counted together (default 1)"
    )
    parser.add_argument(
        "--storm", type=float, metavar="S", help="break all connections at once, each S seconds (default: never)"
    )
    _shared(parser)
    parser.set_defaults(command=lambda arguments: _bench().run_cameras(arguments))


def add_capacity(parser: argparse.ArgumentParser) -> None:
    """Options of `bench capacity`."""
    parser.add_argument("--low", type=int, default=32, metavar="N", help="least number to try (default 32)")
    parser.add_argument("--high", type=int, default=128, metavar="N", help="largest number to try (default 128)")
    parser.add_argument("--guess", type=int, default=80, metavar="N", help="where to begin (default 80)")
    parser.add_argument("--seconds", type=float, default=40, metavar="S", help="measured at each try (default 40)")
    parser.add_argument(
        "--confirm", type=float, default=120, metavar="S", help="the same, of the number found (default 120)"
    )
    parser.add_argument(
        "--overload", type=int, default=112, metavar="N", help="and a run with too many; 0: none (default 112)"
    )
    _shared(parser)
    parser.set_defaults(command=lambda arguments: _bench().run_capacity(arguments))


def _shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--report", type=Path, metavar="FILE", help="write all figures here, as JSON")
    parser.add_argument(
        "--no-peers", dest="peers", action="store_false", help="do not measure OpenCV, FFmpeg and GStreamer"
    )
    parser.add_argument("--timelines", type=int, default=8, metavar="N", help="different clips (default 8)")
    parser.add_argument(
        "--timeline-seconds", type=float, default=100.0, metavar="S", help="length of each (default 100)"
    )
    parser.add_argument("--codec", choices=("h264", "hevc"), default="h264", help="of the cameras (default h264)")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where the clips are kept (default .cache/cameras)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML laid over the bench's deployment")
    parser.add_argument(
        "--opens-per-s", type=float, default=2.0, metavar="N", help="cameras opened per second (default 2)"
    )
    parser.add_argument(
        "--settle", type=float, default=45, metavar="S", help="from the last opening to the measurement (default 45)"
    )


def _bench() -> ModuleType:
    """scripts/bench/cameras.py of this checkout.

    Raises:
        ConfigError: this is an installation.
    """
    if not (_ROOT / "scripts" / "bench" / "cameras.py").is_file():
        raise ConfigError("this bench needs a source checkout of Framegate: its RTSP server and clips are made there")
    if str(_ROOT) not in sys.path:
        sys.path.insert(0, str(_ROOT))
    return importlib.import_module("scripts.bench.cameras")
