"""A failing worker is left alone, probed by one task at a time, and trusted again after one success."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipelines.transport.breaker import Breaker, BreakerOptions, BreakerState

OPTIONS = BreakerOptions(failures=3, pause_s=1.0, pause_max_s=4.0)
S = 1_000_000_000


def opened(at_ns: int = 0) -> Breaker:
    breaker = Breaker(OPTIONS)
    for _ in range(OPTIONS.failures):
        breaker.failed(at_ns)
    return breaker


def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(OPTIONS)
    for _ in range(5):
        breaker.failed(0)
        breaker.failed(0)
        breaker.succeeded()
    assert breaker.state(0) is BreakerState.CLOSED
    assert opened().state(0) is BreakerState.OPEN


def test_one_probe_decides() -> None:
    breaker = opened()
    assert not breaker.allows(S - 1)
    assert breaker.allows(S)
    breaker.sent(S)
    assert not breaker.allows(S), "one at a time"
    breaker.succeeded()
    assert breaker.state(S) is BreakerState.CLOSED
    assert breaker.allows(S)


def test_pauses_double_up_to_the_limit_and_start_small_again() -> None:
    breaker, now_ns, pauses = opened(), 0, []
    for _ in range(4):
        start_ns = now_ns
        while not breaker.allows(now_ns):
            now_ns += S // 2
        pauses.append((now_ns - start_ns) / S)
        breaker.sent(now_ns)
        breaker.failed(now_ns)
    assert pauses == [1, 2, 4, 4]
    breaker.succeeded()
    for _ in range(OPTIONS.failures):
        breaker.failed(now_ns)
    assert breaker.allows(now_ns + S)


def test_a_probe_that_never_went_frees_its_turn() -> None:
    breaker = opened()
    breaker.sent(S)
    breaker.withdrawn()
    assert breaker.allows(S)


class BreakerMachine(RuleBasedStateMachine):
    """Any order of tasks, answers and time."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(OPTIONS)
        self.now_ns = 0
        self.ordinary = self.probes = self.failures = 0

    @rule(step_ns=st.integers(0, 3 * S))
    def pass_time(self, step_ns: int) -> None:
        self.now_ns += step_ns

    @rule()
    def send(self) -> None:
        if self.breaker.allows(self.now_ns):
            closed = self.breaker.state(self.now_ns) is BreakerState.CLOSED
            self.ordinary, self.probes = self.ordinary + closed, self.probes + (not closed)
            self.breaker.sent(self.now_ns)

    @precondition(lambda self: self.ordinary + self.probes)
    @rule(good=st.booleans())
    def answer(self, good: bool) -> None:
        if self.probes:
            self.probes -= 1
        else:
            self.ordinary -= 1
        if good:
            self.failures = 0
            self.breaker.succeeded()
        else:
            self.failures += 1
            self.breaker.failed(self.now_ns)

    @invariant()
    def laws(self) -> None:
        assert self.probes <= 1
        if self.failures < OPTIONS.failures:
            assert self.breaker.state(self.now_ns) is BreakerState.CLOSED
        if not self.probes:
            assert self.breaker.allows(self.now_ns + 5 * S), "no worker is left alone for ever"


TestBreaker = BreakerMachine.TestCase
TestBreaker.settings = settings(stateful_step_count=30, deadline=None)
