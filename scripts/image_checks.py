"""Build the images without a container engine: each step of a Dockerfile in a plain Debian root file system.

python -m scripts.image_checks DOCKERFILE --root DIR [--freeze FILE]     (as root; scripts/image_check makes DIR)

A small reader of what our Dockerfiles use: FROM, COPY, RUN, ENV, USER, WORKDIR, EXPOSE, HEALTHCHECK, ENTRYPOINT, CMD.
Every stage starts from a copy of DIR. Then the image is used: its command runs as its user until its own health check
passes, and is stopped. The base image itself is Debian's Python instead of the one the Dockerfile names.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_READY_S = 120.0
_CONFIG = """\
cameras:
  nobody: {url: "rtsp://127.0.0.1:9/none"}
worker: {spawn: false, socket: /tmp/worker.sock}
sinks:
  alerts: {type: jsonl, path: /tmp/alerts.jsonl}
"""
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction, continuation lines joined."""

    word: str
    text: str


@dataclass(slots=True)
class Stage:
    """One stage while it is built."""

    name: str
    root: Path
    environ: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "root"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)


class StepError(Exception):
    """An instruction failed, or is one that this reader does not know."""


def parse(text: str) -> list[Step]:
    """The instructions of a Dockerfile, in order."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [Step(*(line.strip().split(None, 1))) for line in joined.splitlines()]


def build(steps: Sequence[Step], base: Path, work: Path) -> Stage:
    """Carry all steps out; returns the last stage.

    Raises:
        StepError: names the instruction.
    """
    stages: list[Stage] = []
    for step in steps:
        _say(f"{step.word} {step.text[:100]}")
        if step.word == "FROM":
            name = step.text.split(" AS ")[1] if " AS " in step.text else str(len(stages))
            root = work / name
            subprocess.run(["cp", "-a", "--reflink=auto", str(base), str(root)], check=True)
            stages.append(Stage(name, root))
        else:
            _apply(step, stages[-1], {stage.name: stage.root for stage in stages})
    return stages[-1]


def _apply(step: Step, stage: Stage, roots: dict[str, Path]) -> None:
    if step.word == "RUN":
        inside(stage, ["sh", "-ec", step.text])
    elif step.word == "COPY":
        _copy(shlex.split(step.text), stage, roots)
    elif step.word == "ENV":
        for pair in shlex.split(step.text):
            name, value = pair.split("=", 1)
            stage.environ[name] = value.replace("$PATH", "/usr/local/bin:/usr/bin:/bin")
    elif step.word == "USER":
        stage.user = step.text
    elif step.word == "WORKDIR":
        stage.folder = step.text
        (stage.root / step.text.lstrip("/")).mkdir(parents=True, exist_ok=True)
    elif step.word in ("ENTRYPOINT", "CMD"):
        setattr(stage, "entrypoint" if step.word == "ENTRYPOINT" else "command", json.loads(step.text))
    elif step.word == "HEALTHCHECK":
        stage.health = json.loads(step.text.split("CMD ", 1)[1])
    elif step.word not in ("EXPOSE", "LABEL"):
        raise StepError(f"this reader does not know {step.word}")


def _copy(words: list[str], stage: Stage, roots: dict[str, Path]) -> None:
    options = [word for word in words if word.startswith("--")]
    *sources, target = [word for word in words if not word.startswith("--")]
    origin = next((roots[o.removeprefix("--from=")] for o in options if o.startswith("--from=")), _ROOT)
    into = stage.root / str(Path(stage.folder) / target).lstrip("/")
    for source in sources:
        path = origin / source.lstrip("/")
        place = into / path.name if target.endswith("/") or target == "." else into
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(path, into if target != "." else place, symlinks=True, dirs_exist_ok=True, ignore=ignored)
        else:
            shutil.copy2(path, place)


def inside(stage: Stage, command: list[str], user: str = "root") -> str:
    """Run a command in the stage and return what it prints.

    Raises:
        StepError: it failed; with its last words.
    """
    done = subprocess.run(_chroot(stage, command, user), capture_output=True, text=True)
    if done.returncode:
        raise StepError(f"{shlex.join(command)[:200]}: exit {done.returncode}: {(done.stdout + done.stderr)[-1500:]}")
    return done.stdout


def _chroot(stage: Stage, command: list[str], user: str) -> list[str]:
    """In mount and process namespaces of its own: nothing outlives it. The network is the machine's."""
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/tmp", **stage.environ}
    environ |= {name: value for name, value in os.environ.items() if name in ("PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT")}
    if _CERTIFICATES.is_file():
        environ |= dict.fromkeys(("PIP_CERT", "SSL_CERT_FILE"), str(_CERTIFICATES))
    pairs = [f"{name}={value}" for name, value in environ.items()]
    script = f'mount -t proc proc {shlex.quote(str(stage.root))}/proc; exec "$@"'
    enter = ["chroot", *([] if user == "root" else [f"--userspec={user}"]), str(stage.root)]
    shell = ["sh", "-c", f'cd {shlex.quote(stage.folder)} && exec "$@"', "sh"]
    return [
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh"),
        *enter,
        *("env", "-i", *pairs),
        *shell,
        *command,
    ]


def prepare(base: Path) -> None:
    """What a container engine gives every container: names, certificates, a few devices."""
    for name in ("/etc/resolv.conf", "/etc/hosts", str(_CERTIFICATES)):
        if Path(name).is_file():
            target = base / name.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(name, target)
    python = base / "usr/local/bin/python"
    if not python.exists():
        python.symlink_to("/usr/bin/python3")


def use(stage: Stage) -> None:
    """Run the image as its user until its health check passes, then stop it.

    Raises:
        StepError: it is root, does not get healthy, or does not end cleanly.
    """
    who = inside(stage, ["id", "-u"], stage.user).strip()
    if who == "0":
        raise StepError("the image runs as root")
    folder = stage.root / "etc/framegate"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "framegate.yaml").write_text(_CONFIG)
    if _healthy(stage):
        raise StepError("the health check passes before anything runs")
    started = time.monotonic()
    command = _chroot(stage, [*stage.entrypoint, *stage.command], stage.user)
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        while not _healthy(stage):
            if running.poll() is not None or time.monotonic() - started > _READY_S:
                running.kill()
                raise StepError(f"not healthy: {running.communicate()[0][-1500:]}")
            time.sleep(0.2)
        _say(f"healthy after {time.monotonic() - started:.1f} s, as user {who}")
        child = _only_child(running.pid)
        os.kill(child, signal.SIGTERM)
        running.communicate(timeout=30)
    finally:
        running.kill()
        running.wait()
    if running.returncode != 0:
        raise StepError(f"stopped with exit code {running.returncode}")


def _healthy(stage: Stage) -> bool:
    return subprocess.run(_chroot(stage, stage.health, stage.user), capture_output=True).returncode == 0


def _only_child(pid: int) -> int:
    """unshare forks; the product is the first process of the new namespace."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def main() -> int:
    """0: built and used; 1: told which step failed."""
    parser = argparse.ArgumentParser(prog="scripts/image_check", description=__doc__)
    parser.add_argument("dockerfile", type=Path)
    parser.add_argument("--root", type=Path, required=True, help="a Debian root file system with Python")
    parser.add_argument("--work", type=Path, required=True, help="an empty folder, for the stages")
    parser.add_argument("--freeze", type=Path, help="write the versions that were installed")
    options = parser.parse_args()
    steps = parse(options.dockerfile.read_text())
    prepare(options.root)
    try:
        stage = build(steps, options.root, options.work)
        if options.freeze:
            listed = inside(stage, ["/opt/framegate/bin/pip", "freeze", "--exclude", "framegate"])
            options.freeze.write_text(listed)
        use(stage)
    except StepError as error:
        sys.stderr.write(f"{options.dockerfile}: {error}\n")
        return 1
    _say(f"{options.dockerfile}: built and used")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
