"""`framegate bench recall`: fills the cache, sweeps every gate over every scene in two processes, writes the report."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pipelines.errors import ConfigError
from pipelines.gate.packet import PacketGateOptions
from pipelines.model.catalog import resolve_presence
from pipelines.prefilter.presence import PresenceModel
from scripts.bench.recall.evaluate import BASELINES, PREDICTORS, SINCE_S, Evaluated, SceneTape, evaluate
from scripts.bench.recall.eye import Eye
from scripts.bench.recall.plot import draw
from scripts.bench.recall.prepare import Cache, reference, shoot, taped
from scripts.bench.recall.report import build, figures, pooled, suites
from scripts.bench.recall.suite import development, held_out
from scripts.bench.recall.table import show
from scripts.bench.record import record
from scripts.bench.scenes.catalog import Shot
from scripts.bench.scenes.encoding import Recipe
from scripts.bench.scenes.picture import frames

ROOT = Path(__file__).parents[3]
QUICK = ("lawn", "street")
_QUICK_S = 120.0
_POLL_S = 0.5
_DRAWN = ("sparse", "hard", "sparse_and_hard")
"""Suites in the picture of the curves."""
T = TypeVar("T")


def run_recall(arguments: argparse.Namespace) -> int:
    """The options of app/bench/recall.py."""
    return run(
        Order(
            cache=arguments.cache or ROOT / ".cache" / "recall",
            footage=arguments.footage or Path(os.environ.get("FRAMEGATE_FOOTAGE", ROOT.parent / "shared" / "data")),
            report=arguments.report,
            picture=arguments.picture,
            quick=arguments.quick,
            only=tuple(arguments.only),
            development=arguments.development,
            gate=_options(arguments.gate),
            processes=arguments.processes,
        )
    )


def _options(pairs: Sequence[str]) -> dict[str, object]:
    """name=value of the packet gate's options, checked."""
    given: dict[str, object] = {name: value for name, _, value in (pair.partition("=") for pair in pairs)}
    try:
        checked = PacketGateOptions.model_validate(given)
    except ValidationError as error:
        raise ConfigError(f"--gate: {error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}") from None
    return {name: getattr(checked, name) for name in given}


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for."""

    cache: Path
    footage: Path
    report: Path | None = None
    picture: Path | None = None
    quick: bool = False
    only: tuple[str, ...] = ()
    """Sources; empty: all."""
    development: bool = False
    """The scenes that constants were chosen on, too."""
    gate: Mapping[str, object] = field(default_factory=dict)
    """Options of the product's packet gate that differ from the shipped ones."""
    processes: int = 2


def run(order: Order) -> int:
    """Do it all; prints the table. A run over everything adds its line to results/recall.jsonl. Exit code 0."""
    console = Console()
    began = time.monotonic()
    chosen = _chosen(order)
    order.cache.mkdir(parents=True, exist_ok=True)
    scenes = _evaluated(chosen, order, console)
    about = {
        "detector_sha256": Eye().digest,
        "scored_from_s": SINCE_S,
        "gate": dict(order.gate),
        "footage": any(not _is_drawn(shot) for shot in chosen),
        "wall_s": round(time.monotonic() - began, 1),
    }
    document = build(scenes, about)
    if order.report:
        order.report.write_text(json.dumps(document, indent=1) + "\n")
    if order.picture:
        gates = (*PREDICTORS, *BASELINES)
        groups = suites(scenes)
        drawn = {name: groups[name] for name in _DRAWN if name in groups} or groups
        draw(order.picture, {n: {g: pooled(m, g) for g in gates} for n, m in drawn.items()})
    show(console, document)
    if not (order.quick or order.only or order.gate or order.development):
        record("recall", sum(scene.events for scene in scenes), figures(document), ("av", "onnxruntime"))
    if not about["footage"]:
        console.print("The recorded clips are not on this machine: drawn scenes only.")
    return 0


def _chosen(order: Order) -> list[Shot]:
    if not order.quick:
        there = [*held_out(order.footage), *(development(order.footage) if order.development else [])]
        return [shot for shot in there if not order.only or shot.source.name in order.only]
    there = held_out(order.footage, _QUICK_S)
    names = order.only or QUICK
    two = [shot for shot in there if shot.source.name in names] or there[:2]
    return [Shot(shot.source, shot.recipes[:1], shot.held_out) for shot in two]


def _is_drawn(shot: Shot) -> bool:
    return "Recorded(" not in repr(shot.source)


# --- the processes ---------------------------------------------------------------------------------------------------

_SETTINGS = 92
"""Replays of one scene, roughly; one counts as so many frames as follows."""
_REPLAY_FRAMES = 60


@dataclass(frozen=True, slots=True)
class _Process:
    """What a worker process keeps."""

    eye: Eye
    presence: PresenceModel
    cache: Cache
    done: Synchronized[int]

    def tick(self, count: int = 1) -> None:
        with self.done.get_lock():
            self.done.value += count


_process: _Process | None = None


def _begin(folder: Path, done: Synchronized[int]) -> None:
    global _process
    eye = Eye()
    presence = PresenceModel(resolve_presence("presence"))
    _process = _Process(eye, presence, Cache(folder, eye.digest[:12]), done)


def _shoot(shot: Shot) -> Shot:
    assert _process is not None
    shoot(shot, _process.cache, _process.eye, _process.tick)
    return shot


def _evaluate(shot: Shot, recipe: Recipe, gate: Mapping[str, object]) -> Evaluated:
    assert _process is not None
    here = _process
    scene = SceneTape(
        name=shot.scene(recipe),
        source=shot.source,
        held_out=shot.held_out,
        tape=taped(shot, recipe, here.cache, here.eye, here.tick),
        reference=reference(shot, here.cache),
        threshold=here.eye.card.score_threshold,
    )
    return evaluate(scene, gate, here.presence, lambda: here.tick(_REPLAY_FRAMES))


def _evaluated(chosen: Sequence[Shot], order: Order, console: Console) -> list[Evaluated]:
    """All scenes, in the order of the catalogue. A source's scenes begin as soon as it is drawn."""
    context = multiprocessing.get_context("spawn")
    done: Any = context.Value("q", 0)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress,
        ProcessPoolExecutor(order.processes, context, _begin, (order.cache, done)) as pool,
    ):
        bar = progress.add_task("recall", total=sum(map(_frames, chosen)))
        show = _shower(progress, bar, done)
        drawing = [pool.submit(_shoot, shot) for shot in chosen]
        sweeping: dict[str, Future[Evaluated]] = {}
        for shot in _finished(drawing, show):
            for recipe in shot.recipes:
                sweeping[shot.scene(recipe)] = pool.submit(_evaluate, shot, recipe, order.gate)
        found = {scene.name: scene for scene in _finished(list(sweeping.values()), show)}
    return [found[shot.scene(recipe)] for shot in chosen for recipe in shot.recipes]


def _frames(shot: Shot) -> int:
    once = frames(shot.source.seconds)
    return once + len(shot.recipes) * (once + _SETTINGS * _REPLAY_FRAMES)


def _shower(progress: Progress, bar: Any, done: Any) -> Callable[[], None]:
    return lambda: progress.update(bar, completed=done.value)


def _finished(futures: Sequence[Future[T]], show: Callable[[], None]) -> Iterator[T]:
    """Results as they come; the bar moves meanwhile."""
    waiting = set(futures)
    while waiting:
        try:
            for future in as_completed(waiting, timeout=_POLL_S):
                waiting.discard(future)
                yield future.result()
                break
        except TimeoutError:
            pass
        show()
