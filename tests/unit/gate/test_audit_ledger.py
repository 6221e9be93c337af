"""The audit's own account balances, and a miss is a miss only if the normal path saw nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.gate.audit_ledger import AuditLedger
from pipelines.gate.audit_tally import History, Tally
from pipelines.gate.audit_window import Audited, AuditOptions, AuditWindow
from pipelines.values import Outcome

S = 1_000_000_000
LATER = 100 * S
ANSWERS = (Outcome.INFERRED, Outcome.FAILED, Outcome.LATE, Outcome.PACED, Outcome.UNDECODABLE)


def window(number: int = 1, start_s: float = 10.0, camera: str = "cam", probability: float = 0.1) -> AuditWindow:
    start_ns = int(start_s * S)
    return AuditWindow(number, camera, Outcome.ASLEEP, 0, probability, start_ns, start_ns + 4 * S)


def ledger() -> AuditLedger:
    return AuditLedger(AuditOptions(window_s=4.0, grace_s=0.5, settle_s=2.0))


def audit(account: AuditLedger, outcomes: dict[float, Outcome], seen_s: tuple[float, ...] = ()) -> Audited:
    """One window of 10..14 s, with a frame at each of these times."""
    drawn = window()
    account.begin(drawn)
    for time_s, outcome in outcomes.items():
        account.settle(account.frame(drawn, int(time_s * S)), outcome, positive=time_s in seen_s)
    account.end(drawn, 14 * S)
    (audited,) = account.judged(LATER)
    return audited


INFERRED = {10.0: Outcome.INFERRED, 11.0: Outcome.INFERRED, 12.0: Outcome.INFERRED}


def test_what_only_the_audit_saw_is_a_miss() -> None:
    assert audit(ledger(), INFERRED, seen_s=(11.0, 12.0)).missed == 1


def test_nothing_seen_is_no_miss() -> None:
    audited = audit(ledger(), INFERRED)

    assert (audited.outcome, audited.missed) == (Outcome.INFERRED, 0)


@pytest.mark.parametrize(("found_s", "missed"), [(9.4, 1), (9.6, 0), (12.0, 0), (14.4, 0), (14.6, 1)])
def test_what_the_normal_path_found_in_or_around_the_window_is_no_miss(found_s: float, missed: int) -> None:
    account = ledger()
    account.found("cam", int(found_s * S))

    assert audit(account, INFERRED, seen_s=(11.0,)).missed == missed


def test_what_was_found_in_a_long_event_around_the_window_is_no_miss() -> None:
    account = ledger()
    for tenth in range(0, 400, 3):
        account.found("cam", tenth * S // 10)

    assert audit(account, INFERRED, seen_s=(11.0,)).missed == 0


def test_another_camera_does_not_help() -> None:
    account = ledger()
    account.found("other", 11 * S)

    assert audit(account, INFERRED, seen_s=(11.0,)).missed == 1


def test_a_long_window_counts_an_event_window_for_each_of_its_parts() -> None:
    """A GOP of 12 s is one window of the draw, but three event windows."""
    frames = dict.fromkeys((10.0, 13.0, 15.0, 21.0), Outcome.INFERRED)

    assert audit(ledger(), frames, seen_s=(10.0, 13.0, 15.0, 21.0)).missed == 3


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([Outcome.INFERRED, Outcome.FAILED], Outcome.INFERRED),
        ([Outcome.INFERRED, Outcome.FAILED, Outcome.FAILED], Outcome.FAILED),
        ([Outcome.LATE, Outcome.LATE, Outcome.FAILED], Outcome.LATE),
        ([Outcome.INFERRED, *[Outcome.PACED] * 20], Outcome.INFERRED),
        ([], Outcome.FAILED),
    ],
)
def test_a_window_has_one_outcome(outcomes: list[Outcome], expected: Outcome) -> None:
    frames = {10.0 + number / 10: outcome for number, outcome in enumerate(outcomes)}

    assert audit(ledger(), frames).outcome is expected


def test_a_window_waits_for_its_frames_and_for_the_normal_path() -> None:
    account, drawn = ledger(), window()
    account.begin(drawn)
    sequence = account.frame(drawn, 11 * S)
    account.end(drawn, 14 * S)
    assert account.judged(LATER) == []

    account.settle(sequence, Outcome.INFERRED)

    assert account.judged(int(16.4 * S)) == []
    assert len(account.judged(int(16.6 * S))) == 1


def test_a_void_window_does_not_count_and_its_late_frames_do_no_harm() -> None:
    account, drawn = ledger(), window()
    account.begin(drawn)
    sequence = account.frame(drawn, 11 * S)
    account.void("cam", 12 * S)
    account.settle(sequence, Outcome.INFERRED, positive=True)

    (audited,) = account.judged(12 * S)
    account.settle(account.frame(drawn, 13 * S), Outcome.INFERRED, positive=True)

    assert (audited.outcome, audited.missed) == (Outcome.STOPPED, 0)
    assert account.windows.snapshot().imbalance == account.frames.snapshot().imbalance == 0
    assert account.judged(LATER) == []


def test_found_event_windows_are_counted_once() -> None:
    account = ledger()

    assert [account.found("cam", time_s * S) for time_s in (0, 1, 3, 4, 5, 9, 8)] == [1, 0, 0, 1, 0, 1, 0]


def test_a_known_miss_is_counted_once_and_not_where_an_audit_has_it_already() -> None:
    account = ledger()
    account.begin(window(start_s=8.0))

    assert [account.known_miss("cam", time_s * S) for time_s in (4, 5, 9, 13, 14)] == [1, 0, 0, 1, 0]


CALLS = st.sampled_from(["begin", "frame", "settle", "end", "void", "judge"])


@given(st.lists(st.tuples(st.integers(0, 3), CALLS), max_size=80))
def test_the_law_holds_at_any_instant(calls: list[tuple[int, str]]) -> None:
    """entered == sum(outcomes) + in flight, for windows and for frames."""
    account, open_windows, frames = ledger(), dict[int, AuditWindow](), list[int]()
    for number, (which, call) in enumerate(calls):
        drawn = open_windows.get(which)
        if call == "begin":
            open_windows[which] = window(number, start_s=number, camera=f"cam{which}")
            account.begin(open_windows[which])
        elif call == "frame" and drawn:
            frames.append(account.frame(drawn, number * S))
        elif call == "settle" and frames:
            account.settle(frames.pop(), ANSWERS[number % len(ANSWERS)], positive=number % 3 == 0)
        elif call == "end" and drawn:
            account.end(drawn, number * S)
        elif call == "void":
            account.void(f"cam{which}", number * S)
        elif call == "judge":
            account.judged(number * S)
        for part in (account.windows.snapshot(), account.frames.snapshot()):
            assert part.imbalance == 0
            assert part.packets == sum(part.outcomes.values()) + part.in_flight
        assert account.frames.snapshot().in_flight == len(frames)


def test_tallies_add_up() -> None:
    one, other = Tally(), Tally(units=5.0, known=2.0)
    one.note(Audited(window(probability=0.1), Outcome.INFERRED, 1, 0.4))
    one.note(Audited(window(probability=0.5), Outcome.INFERRED, 0, 0.4))

    both = one + other

    assert both == Tally(5.0, 2.0, 1.0, 12.0, 10.0, 90.0, 90.0, 92.0, 2.0)


def test_evidence_that_is_too_old_is_dropped_and_a_camera_can_be_forgotten() -> None:
    history = History(memory_s=24.0, slices=24)
    history.at("old", 0).found += 1
    history.at("new", 20 * S).found += 1
    history.at("new", 23 * S).found += 1

    assert {camera: one.found for camera, one in history.read(23 * S).items()} == {"old": 1, "new": 2}
    assert {camera: one.found for camera, one in history.read(25 * S).items()} == {"new": 2}
    history.forget("new")
    assert history.read(25 * S) == {}
