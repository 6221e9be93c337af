"""The command `framegate`. Its exit codes: see exit_code.py."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from app.config.environment import silence_libraries
from app.exit_code import ExitCode
from pipelines.errors import ConfigError, FramegateError, ModelError


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the `framegate` script."""
    silence_libraries()
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except (FramegateError, ExceptionGroup) as error:
        return _explain(_for_people(error))
    except KeyboardInterrupt:
        return 130


def _for_people(error: FramegateError | ExceptionGroup[Exception]) -> FramegateError:
    """The error out of the groups that task groups put it in. A group that holds a bug goes on as it is."""
    if isinstance(error, FramegateError):
        return error
    _, bugs = error.split(FramegateError)
    if bugs:
        raise error
    inner: Exception = error
    while isinstance(inner, ExceptionGroup):
        inner = inner.exceptions[0]
    assert isinstance(inner, FramegateError)
    return inner


def _explain(error: FramegateError) -> int:
    """Say it on stderr; the exit code."""
    if isinstance(error, ConfigError):
        print(error, file=sys.stderr)
        return ExitCode.CONFIG
    print(f"framegate: {error}", file=sys.stderr)
    return ExitCode.MODEL if isinstance(error, ModelError) else ExitCode.FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("framegate", description="Camera streams in, alerts out.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _run(commands.add_parser("run", help="run the cameras of a configuration"))
    _worker(commands.add_parser("worker", help="run a worker process of its own"))
    _check(commands.add_parser("check", help="check a configuration; exits 2 if it has mistakes"))
    _schema(commands.add_parser("schema", help="print the configuration's JSON Schema, for editors"))
    _demo(commands.add_parser("demo", help="play clips through the whole pipe, with a live table"))
    from app.bench.batcher import add_batcher
    from app.bench.cameras import add_cameras, add_capacity
    from app.bench.recall import add_recall
    from app.doctor import add_doctor
    from app.models import add_models

    add_models(commands.add_parser("models", help="prepare, fetch and show models; load them into a running worker"))
    add_doctor(commands.add_parser("doctor", help="say what this machine can do, and what it lacks"))
    benches = commands.add_parser("bench", help="measure it on this machine (from a source checkout)")
    measures = benches.add_subparsers(required=True, metavar="BENCH")
    add_cameras(measures.add_parser("cameras", help="N cameras over RTSP: what is carried, latencies, peers"))
    add_capacity(measures.add_parser("capacity", help="how many cameras this machine carries"))
    add_recall(measures.add_parser("recall", help="decode saved against event recall, per scene, with baselines"))
    add_batcher(
        measures.add_parser("batcher", help="batching under deadlines against FIFO and Triton, in virtual time")
    )
    return parser


def _run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, help="YAML file")
    parser.add_argument("--model", metavar="NAME|FILE", help="detector, before what the configuration says")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write the account of the run here at exit and on SIGUSR1"
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="stop after this long")
    parser.add_argument("--exit-when-done", action="store_true", help="stop when every camera has ended (files)")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from app.service import serve

    return serve(arguments.config, arguments.model, arguments.report, arguments.seconds, arguments.exit_when_done)


def _check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, help="YAML file")
    parser.set_defaults(command=check)


def check(arguments: argparse.Namespace) -> int:
    from app.config.deployment import load
    from app.config.environment import environment

    config = load(arguments.config, environment())
    print(f"{arguments.config}: sound, {len(config.cameras)} cameras, {len(config.sinks)} sinks")
    return 0


def _schema(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=schema)


def schema(arguments: argparse.Namespace) -> int:
    import json

    from app.config.schema import json_schema

    del arguments
    print(json.dumps(json_schema(), indent=2))
    return 0


def _worker(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, nargs="?", help="YAML file; its worker, model and lane sections count")
    parser.add_argument("--socket", type=Path, metavar="PATH", help="Unix socket to listen on")
    parser.add_argument("--model", metavar="NAME|FILE", help="detector, before what the configuration says")
    parser.add_argument("--spec", help=argparse.SUPPRESS)
    parser.set_defaults(command=worker)


def worker(arguments: argparse.Namespace) -> int:
    from app.config.environment import environment
    from app.config.worker import WorkerDeployment, load_worker, with_detector
    from app.gpu import run as run_worker
    from app.observe.log import configure, get_logger

    if arguments.spec is not None:
        config = WorkerDeployment.model_validate_json(arguments.spec)
    elif arguments.config is not None:
        config = load_worker(arguments.config, environment())
    else:
        config = WorkerDeployment()
    if arguments.model is not None:
        config = config.model_copy(update={"model": with_detector(config.model, arguments.model)})
    socket = arguments.socket or config.worker.socket
    if socket is None:
        raise ConfigError("name the Unix socket to listen on: --socket PATH, or worker.socket in the configuration")
    configure(config.log)
    return run_worker(config, socket, with_parent=arguments.spec is not None, log=get_logger("worker"))


def _demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cameras", type=int, default=8, metavar="N", help="simulated cameras (default 8)")
    parser.add_argument("--seconds", type=float, default=60, metavar="S", help="how long to run (default 60)")
    parser.add_argument(
        "--clip", type=Path, action="append", metavar="FILE", required=True, help="footage; may be repeated"
    )
    parser.add_argument("--model", default="detector", help="detector: a name, or an ONNX file")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), metavar="DIR", help="alerts, pictures, report")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the account of the run here too")
    parser.add_argument("--rtsp", action="store_true", help="through a real RTSP server (GStreamer)")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="send alerts to this Kafka broker too")
    parser.add_argument("--mqtt", metavar="HOST:PORT", help="send alerts to this MQTT broker too")
    parser.set_defaults(command=demo)


def demo(arguments: argparse.Namespace) -> int:
    from app.demo import DemoSpec
    from app.demo import run as run_demo

    return run_demo(
        DemoSpec(
            cameras=arguments.cameras,
            seconds=arguments.seconds,
            clips=tuple(arguments.clip),
            model=arguments.model,
            out=arguments.out,
            report=arguments.report,
            rtsp=arguments.rtsp,
            kafka=arguments.kafka,
            mqtt=arguments.mqtt,
        )
    )
