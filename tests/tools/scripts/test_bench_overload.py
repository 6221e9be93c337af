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
        ([(10.5, 25), (11.5, 50), (12.5, 51), (13.5, 51), (14.5, 51), (15.5, 51), (16.5, 51), (19.5, 76)], 2),
        ([(10.5, 0), (15.5, 0)], 0),
        ([(10.5, 0), (11.5, 1), (15.5, 1)], 0),
        ([(second + 0.5, 2 * second) for second in range(10, 30)], None),
        ([(10.5, 0), (12.5, 0)], None),
    ],
)
def test_it_is_over_when_next_to_nothing_is_shed(looks: list[tuple[float, int]], recovery_s: int | None) -> None:
    edges_ns = [0, 5_000_000_000, 10_000_000_000, 30_000_000_000]
    watch = Watch(["url"], 5, 5, looks=[look(9.5, 0), *(look(*each) for each in looks)], edges_ns=edges_ns)
    assert watch.recovery_s() == recovery_s
