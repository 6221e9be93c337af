"""`framegate models load | reload | rollback | status`: the models of a worker that is running."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path
from typing import Any

from pipelines.errors import ConfigError, ModelError

_WORKERS = "framegate-*/*.sock.ctl"
"""Where workers listen that were spawned without `worker.socket`, in the directory for temporary files."""


def add_worker_commands(commands: Any) -> None:
    """The subcommands that act on a running worker."""
    load = commands.add_parser("load", help="put another model in place of the one a running worker has")
    load.add_argument("model", help="a name, an ONNX file, or a model directory, DIR or DIR@VERSION")
    _add(load, "load")
    _add(commands.add_parser("reload", help="load what the worker has again, as it is on disk now"), "reload")
    _add(commands.add_parser("rollback", help="go back to what the worker had before"), "rollback")
    _add(commands.add_parser("status", help="print what a running worker serves"), "status")


def _add(parser: argparse.ArgumentParser, do: str) -> None:
    parser.add_argument("--worker", type=Path, metavar="SOCKET", help="the worker's lane socket (worker.socket)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration that names the worker's socket")
    parser.set_defaults(command=steer, do=do)


def steer(arguments: argparse.Namespace) -> int:
    from app.control.worker import Request, ask

    model = _absolute(arguments.model) if arguments.do == "load" else ""
    reply = asyncio.run(ask(_control(arguments), Request(do=arguments.do, model=model)))
    if arguments.do == "status":
        _print_status(reply)
        return 0
    print(f"{reply['name']} serves: {reply['path']}")
    print(f"  checked in {reply['checked_ms']} ms, loaded and warmed in {reply['ready_ms']} ms beside the one before")
    if reply["reattached"]:
        print("  cameras' processes attached again: size, classes or another part of the card differs")
    freed = "still has lanes, and stays until they are gone" if reply["drained_ms"] is None else "is freed"
    print(f"  the one before {freed}")
    _remember(Path(reply["path"]))
    return 0


def _absolute(model: str) -> str:
    """Paths are ours, the worker's working directory is another."""
    return str(Path(model).absolute()) if "/" in model or model.endswith(".onnx") else model


def _remember(path: Path) -> None:
    """A version that serves becomes its directory's current one: what a worker finds that starts anew."""
    from pipelines.model.directory import current, set_current, version_of

    try:
        version = version_of(path)
        if version is not None and current(version.directory) != version.number:
            set_current(version.directory, version.number)
            print(f"  version {version.number} is now the current one of {version.directory}")
    except ModelError as error:
        print(f"  but it is not the current one of its directory: {error}")


def _control(arguments: argparse.Namespace) -> Path:
    """The socket to steer by: of the worker named, or of the only one that runs without a name."""
    from app.control.worker import control_path

    if arguments.worker is not None:
        return control_path(arguments.worker)
    if arguments.config is not None:
        from app.config.environment import environment
        from app.config.worker import load_worker

        socket = load_worker(arguments.config, environment()).worker.socket
        if socket is None:
            raise ConfigError(f"{arguments.config} does not name worker.socket: name it, or leave --config out")
        return control_path(socket)
    found = sorted(Path(tempfile.gettempdir()).glob(_WORKERS))
    if len(found) != 1:
        seen = ", ".join(str(path) for path in found) or "none"
        raise ConfigError(f"which worker? Name its socket with --worker, or --config FILE; found here: {seen}")
    return found[0]


def _print_status(reply: dict[str, Any]) -> None:
    model, before, card = reply["model"], reply["before"], reply["card"]
    print(f"{card['name']}: {card['family']}, {card['input_w']}x{card['input_h']}, {len(card['classes'])} classes")
    print(f"  asked for as {model['reference']}, file {model['path']}, SHA-256 {model['sha256']}")
    print(f"  before it    {before['path'] if before else 'nothing'}")
    print(f"  {reply['loads']} loaded, {reply['refused']} refused since it started")
    if reply["last_error"]:
        print(f"  last refused: {reply['last_error']}")
    if reply["bad"]:
        print("  it answers nothing well just now")
    if reply["retiring"]:
        print("  the one before still has lanes")
