"""The report as a table for people."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.bench.recall.curve import LEVELS


def show(console: Console, document: dict[str, Any]) -> None:
    """Scenes, then suites with what they are compared with."""
    table = Table(title="Decode saved at event recall")
    for name in ("scene", "activity", "events", *(f"{level} %" for level in LEVELS), "shipped saved", "recall", "us"):
        table.add_column(name, justify="left" if name == "scene" else "right")
    for name, scene in document["scenes"].items():
        mark = "" if scene["held_out"] else " (dev)"
        _row(table, name + mark, scene, f"{scene['gate_us_per_packet']:.1f}")
    table.add_section()
    for name, suite in document["suites"].items():
        _row(table, f"suite {name}", suite, "")
        for gate, read in {**suite["baselines"], **suite["predictors"]}.items():
            table.add_row(f"  {gate}", "", "", *_levels(read["decode_saved_at"]), "", "", "")
    console.print(table)


def _row(table: Table, name: str, figures: dict[str, Any], gate_us: str) -> None:
    shipped = figures["shipped"]
    recall = "-" if shipped["recall"] is None else f"{shipped['recall']:.1%}"
    table.add_row(
        name, f"{figures['activity']:.1%}", str(figures["events"]), *_levels(figures["decode_saved_at"]),
        f"{shipped['decode_saved']:.1%}", recall, gate_us,
    )  # fmt: skip


def _levels(saved: dict[str, float]) -> list[str]:
    return [f"{saved[str(level)]:.1%}" for level in LEVELS]
