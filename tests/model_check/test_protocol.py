"""The lane's protocol, searched exhaustively; docs/protocol-states.md says what is searched and for what."""

from __future__ import annotations

import os

import pytest

from tests.model_check.explore import Explored, Violation, explore
from tests.model_check.lane import check
from tests.model_check.mutant import MUTANTS, Mutant
from tests.model_check.world import World, drained

LONG = os.environ.get("FRAMEGATE_LONG") == "1"


def settles(world: World) -> None:
    """From every state, the slots come back when nobody starts anything new."""
    end = drained(world)
    for lane in (end.now, end.old):
        if lane is not None and lane.writer is not None:
            check(lane.writer.statistics().free == lane.slots, "slots do not come back")


def searched(slots: int, attaches: bool) -> Explored:
    return explore(World(slots, attaches), settles, most_states=2_000_000)


@pytest.mark.parametrize(
    ("slots", "attaches", "states"),
    [
        (2, False, 334),
        (3, False, 1085),
        (1, True, 2690),
        pytest.param(2, True, 49990, marks=pytest.mark.skipif(not LONG, reason="minutes: FRAMEGATE_LONG=1 runs it")),
    ],
)
@pytest.mark.timeout(3600)
def test_the_properties_hold_in_every_state(slots: int, attaches: bool, states: int) -> None:
    """The number of states is told, so that a model that explores less by mistake is noticed."""
    found = searched(slots, attaches)
    assert found.broken is None, f"{found.broken}, after {found.trace}"
    assert found.states == states


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.bug.replace(" ", "_"))
def test_a_seeded_bug_is_found(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutant.owner, mutant.name, mutant.put)
    found = explore(World(2, attaches=False), most_states=5000)
    if not found.broken:
        found = explore(World(1, attaches=True), most_states=5000)
    assert found.broken
    assert mutant.found in found.broken
    assert len(found.trace) <= 10, "the shortest way is short"


def test_a_search_that_grows_beyond_its_bound_fails() -> None:
    assert explore(World(2, False), most_states=50).broken == "more than 50 states"


def test_the_shortest_way_to_a_bug_is_told() -> None:
    def never(world: World) -> None:
        if world.now.hands:
            raise Violation("something is in hand")

    found = explore(World(2, False), never)
    assert found.broken == "something is in hand"
    assert found.trace == (("now", "loan"), ("now", "publish", 0, "quick worker", 2), ("visit",))
