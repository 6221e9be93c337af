"""The rules of the overload bench, on made-up reports."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.bench.overload import Watch, broken, priority


def figures(**changes: Any) -> dict[str, Any]:
    awake = {
        "lag_ms": {"p100": 300.0},
        "shed_causes": {"over_budget": 90, "put_back": 10},
        "outcomes": {"shed": 100},
        "shed_share": {"high": 0.0, "normal": 0.5, "low": 0.9},
    }
    return {"all": awake | changes.pop("all", {}), "recovery_s": 2.0, "imbalance": 0} | changes


def test_every_eighth_camera_is_of_high_priority_and_every_other_eighth_of_low() -> None:
    assert [priority(n) for n in range(9)] == [
        "high", "normal", "normal", "normal", "low", "normal", "normal", "normal", "high"
    ]  # fmt: skip


def test_an_overload_as_it_should_be_breaks_no_rule() -> None:
    assert broken(figures()) == []


@pytest.mark.parametrize(
    ("out", "says"),
    [
        (figures(imbalance=1), "account"),
        (figures(recovery_s=None), "recovered"),
        (figures(recovery_s=11.0), "recovered"),
        (figures(all={"lag_ms": {"p100": 1001.0}}), "lags"),
        (figures(all={"shed_causes": {"over_budget": 99}}), "nobody said why"),
        (figures(all={"shed_causes": {}, "outcomes": {}}), "no overload"),
        (figures(all={"shed_share": {"high": 0.6, "normal": 0.5, "low": 0.9}}), "lower priority"),
    ],
)
def test_what_is_broken_is_named(out: dict[str, Any], says: str) -> None:
    (rule,) = broken(out)
    assert says in rule


def look(at_s: float, shed: int) -> tuple[int, dict[str, Any]]:
    return int(at_s * 1e9), {"cameras": {"cam000": {"outcomes": {"shed": shed}}}}


@pytest.mark.parametrize(
    ("looks", "recovery_s"),
    [
        ([look(9, 5), look(11, 7), look(12, 9), look(13, 9)], 2.0),
        ([look(9, 5), look(11, 5), look(12, 5)], 0.0),
        ([look(9, 5), look(11, 5), look(12, 6)], None),
    ],
)
def test_it_is_over_when_the_last_packet_was_shed(looks: list[Any], recovery_s: float | None) -> None:
    watch = Watch((), 5, 5, looks=looks, edges_ns=[0, 5_000_000_000, 10_000_000_000, 30_000_000_000])
    assert watch.recovery_s() == recovery_s
