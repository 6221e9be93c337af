"""The figures of all scenes as one document, and as a table for people. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scripts.bench.recall.curve import LEVELS, Point, best_at, pool, saved_at
from scripts.bench.recall.evaluate import BASELINES, OURS, PREDICTORS, Evaluated
from scripts.bench.recall.event import wilson

SPARSE_ACTIVITY = 0.10
HARD = ("night", "rain", "foliage", "flicker", "exposure", "headlights", "far", "slow", "jitter", "raw")
"""Sources with bad weather, bad light, raw noise, or figures that are far or slow."""


def suites(scenes: Sequence[Evaluated]) -> dict[str, list[Evaluated]]:
    """Scenes that are read off together. Empty ones are left out."""
    quiet = [s for s in scenes if s.held_out and s.activity <= SPARSE_ACTIVITY]
    sparse = [s for s in quiet if s.kind not in HARD]
    out = {
        "sparse": sparse,
        "hard": [s for s in quiet if s.kind in HARD],
        "sparse_and_hard": quiet,
        "constant_quality": [s for s in sparse if "-crf" in s.name],
        "constant_rate": [s for s in sparse if "-crf" not in s.name],
        "held_out": [s for s in scenes if s.held_out],
        "development": [s for s in scenes if not s.held_out],
    }
    return {name: members for name, members in out.items() if members}


def build(scenes: Sequence[Evaluated], about: dict[str, Any]) -> dict[str, Any]:
    """The report as docs/evaluation.md describes it."""
    groups = suites(scenes)
    first = groups.get("sparse") or list(scenes)
    return {
        **about,
        "scenes": {scene.name: _scene(scene) for scene in scenes},
        "classes": {kind: _class(members) for kind, members in _kinds(scenes).items()},
        "suites": {name: _suite(members) for name, members in groups.items()},
        "baselines": {name: _read(pooled(first, name)) for name in BASELINES},
        "predictors": {name: _read(pooled(first, name)) for name in PREDICTORS},
        "worse_than_a_baseline": list(_worse(scenes)),
    }


def pooled(scenes: Iterable[Evaluated], gate: str) -> list[Point]:
    """One gate's curve over several scenes, one setting for all of them."""
    return pool(point for scene in scenes for point in scene.curves[gate])


def _scene(scene: Evaluated) -> dict[str, Any]:
    return {
        "activity": round(scene.activity, 4),
        "held_out": scene.held_out,
        "source": scene.kind,
        "bitrate_kbps": round(scene.bitrate_bps / 1000),
        "events": scene.events,
        "unseen_by_reference": scene.unseen,
        "full_decode_recall": scene.ceiling,
        "decode_saved_at": saved_at(scene.curves[OURS]),
        "shipped": _shipped([scene]),
        "wake_ms": _quantiles(scene.shipped.wake_ms),
        "gate_us_per_packet": round(scene.gate_us_per_packet, 2),
        "baselines": {name: saved_at(scene.curves[name]) for name in BASELINES},
        "curve": [_point(point) for point in scene.curves[OURS]],
    }


def _kinds(scenes: Sequence[Evaluated]) -> dict[str, list[Evaluated]]:
    """Scenes by source."""
    return {kind: [s for s in scenes if s.kind == kind] for kind in dict.fromkeys(scene.kind for scene in scenes)}


def _class(scenes: Sequence[Evaluated]) -> dict[str, Any]:
    """One source in all its encodings."""
    points = pooled(scenes, OURS)
    return {
        "events": points[0].events,
        "decode_saved_at": saved_at(points),
        "shipped": _shipped(scenes),
        "baselines": {name: saved_at(pooled(scenes, name)) for name in BASELINES},
    }


def figures(document: Mapping[str, Any]) -> dict[str, Any]:
    """The line that is kept of a whole run: its suites, without scenes and curves."""
    kept = (
        "activity",
        "events",
        "full_decode_recall",
        "decode_saved_at",
        "own_thresholds",
        "ci95",
        "shipped",
        "wake_ms",
    )
    suites = {
        name: {key: suite[key] for key in (*kept, "baselines", "predictors")}
        for name, suite in document["suites"].items()
    }
    gate_us = [scene["gate_us_per_packet"] for scene in document["scenes"].values()]
    return {
        "suites": suites,
        "scenes": len(gate_us),
        "gate_us_per_packet": {"mean": round(sum(gate_us) / len(gate_us), 2), "max": max(gate_us)},
        "wall_s": document["wall_s"],
    }


def _suite(scenes: Sequence[Evaluated]) -> dict[str, Any]:
    points = pooled(scenes, OURS)
    at95 = best_at(points, 95)
    return {
        "scenes": [scene.name for scene in scenes],
        "activity": round(sum(scene.activity for scene in scenes) / len(scenes), 4),
        "events": points[0].events,
        "full_decode_recall": _rounded(pooled(scenes, "motion")[0].recall),
        "decode_saved_at": saved_at(points),
        "own_thresholds": _own(scenes),
        "ci95": _interval(at95) if at95 else None,
        "at": {str(percent): _point(p) for percent in LEVELS if (p := best_at(points, percent)) is not None},
        "shipped": _shipped(scenes),
        "wake_ms": _quantiles([ms for scene in scenes for ms in scene.shipped.wake_ms]),
        "baselines": {name: _read(pooled(scenes, name)) for name in BASELINES},
        "predictors": {name: _read(pooled(scenes, name)) for name in PREDICTORS},
        "curve": [_point(point) for point in points],
    }


def _own(scenes: Sequence[Evaluated]) -> dict[str, Any]:
    """Where each scene has the threshold that would have been best for all its events: what thresholds that follow
    each camera could gain at most. It knows the outcome, so it is no result."""
    best = [best_at(scene.curves[OURS], 100) for scene in scenes if scene.events]
    found = [point for point in best if point is not None]
    return {
        "decode_saved": round(sum(max(0.0, p.saved) for p in found) / len(best), 4) if best else None,
        "scenes_with_all_events": len(found),
        "scenes": len(best),
    }


def _read(points: Sequence[Point]) -> dict[str, Any]:
    return {"decode_saved_at": saved_at(points)}


def _shipped(scenes: Sequence[Evaluated]) -> dict[str, Any]:
    """The product's default threshold: nothing was chosen on what it is measured on."""
    return _point(pool(scene.shipped.point for scene in scenes)[0])


def _point(point: Point) -> dict[str, Any]:
    return {
        "threshold": point.setting,
        "decode_saved": round(point.saved, 4),
        "recall": _rounded(point.recall),
        "ci95": _interval(point),
        "hits": point.hits,
        "events": point.events,
        "by_heartbeat_only": point.heartbeat_hits,
    }


def _interval(point: Point) -> list[float]:
    return [round(bound, 3) for bound in wilson(point.hits, point.events)]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _quantiles(values: Sequence[float]) -> dict[str, float | None]:
    ordered = sorted(values)
    at = {f"p{p}": min(len(ordered) - 1, len(ordered) * p // 100) for p in (50, 95)}
    return {name: round(ordered[index], 1) if ordered else None for name, index in at.items()}


def _worse(scenes: Sequence[Evaluated]) -> Iterable[dict[str, Any]]:
    """Where a baseline saves more than we do at the same recall, by source."""
    for kind, members in _kinds(scenes).items():
        ours = saved_at(pooled(members, OURS))
        for name in BASELINES:
            for level, theirs in saved_at(pooled(members, name)).items():
                if theirs > ours[level] + 1e-4:
                    yield {"source": kind, "baseline": name, "recall": level, "ours": ours[level], "theirs": theirs}
