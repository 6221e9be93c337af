"""Triton's dynamic batcher on virtual time, with one model instance, after its documentation.

Source: Triton Inference Server user guide, "Batchers" (docs/user_guide/batcher.md of triton-inference-server/server),
for preferred_batch_size, max_queue_delay_microseconds, priority_levels and the queue policy; where the guide leaves a
choice, src/dynamic_batch_scheduler.cc of triton-inference-server/core:

* requests are taken in the order they came (by priority level first, where there are levels);
* when the instance is free a batch is formed; expired requests met on the way are rejected (timeout_action REJECT);
* a batch of the largest preferred size that can be made goes out at once, and so does a full one;
* else, without a delay, what is there goes out; with one, it waits until its oldest request has waited for the delay.

In the guide's favour: the source forms the next batch while the instance still works, and a request in it expires no
more. FIFO with the largest batch is the guide's default, `dynamic_batching { }`: no delay, no preferred size, no
time-out.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from scripts.bench.batcher_service import Costs, Service
from scripts.bench.batcher_trace import MS, Task

_NEVER_NS = 1 << 62
_DELAYS_MS = (0, 1, 5, 10, 20)
_TIMEOUT_SHARES = (0.3, 0.5, 0.7, 0.85)
Request = tuple[int, int, int]
"""Came, expires, is worth nothing after: ns."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One configuration of the model. Times in ns."""

    max_batch: int
    preferred: tuple[int, ...] = ()
    """Ascending."""
    delay_ns: int = 0
    timeout_ns: int | None = None
    """default_timeout_microseconds."""
    own_margin_ns: int | None = None
    """allow_timeout_override: each request brings its own time-out, the time left to it when it comes less this."""
    urgent_ns: int | None = None
    """priority_levels 2: a request with less left than this when it comes has the first."""

    def as_dict(self) -> dict[str, object]:
        """As Triton's keys have it, ms."""
        times = {
            "default_timeout_ms": self.timeout_ns,
            "own_timeout_less_ms": self.own_margin_ns,
            "first_priority_below_ms": self.urgent_ns,
        }
        out: dict[str, object] = {"max_batch_size": self.max_batch, "preferred_batch_size": list(self.preferred)}
        out["max_queue_delay_ms"] = self.delay_ns / 1e6
        return out | {name: round(ns / 1e6, 1) for name, ns in times.items() if ns is not None}

    def requests(self, tasks: Sequence[Task]) -> list[Request]:
        """The tasks with their time-outs."""
        if self.timeout_ns is not None:
            return [(task.at_ns, task.at_ns + self.timeout_ns, task.deadline_ns) for task in tasks]
        if self.own_margin_ns is not None:
            return [(task.at_ns, task.deadline_ns - self.own_margin_ns, task.deadline_ns) for task in tasks]
        return [(task.at_ns, _NEVER_NS, task.deadline_ns) for task in tasks]


def goodput(tasks: Sequence[Task], setting: Setting, service: Service) -> int:
    """How many tasks are answered within their deadline. `tasks` in the order of their arrival."""
    return _simulated(setting.requests(tasks), setting, service)


def goodputs(tasks: Sequence[Task], settings: Iterable[Setting], service: Service) -> dict[Setting, int]:
    """The same for many settings."""
    requests: dict[tuple[int | None, int | None], list[Request]] = {}
    out = {}
    for setting in settings:
        timeouts = setting.timeout_ns, setting.own_margin_ns
        if timeouts not in requests:
            requests[timeouts] = setting.requests(tasks)
        out[setting] = _simulated(requests[timeouts], setting, service)
    return out


def _simulated(coming: Sequence[Request], setting: Setting, service: Service) -> int:
    urgent_ns = setting.urgent_ns or 0
    levels: list[deque[Request]] = [deque(), deque()]
    good, now, following, count = 0, 0, 0, len(coming)
    while True:
        while following < count and coming[following][0] <= now:
            request = coming[following]
            levels[request[2] - request[0] >= urgent_ns].append(request)
            following += 1
        batch = _examined(levels, setting.max_batch, now)
        if not batch:
            if following == count:
                return good
            now = coming[following][0]
            continue
        due_ns = min(request[0] for request in batch) + setting.delay_ns
        size = _size(len(batch), due_ns <= now, setting)
        for request in reversed(batch[size:]):
            levels[request[2] - request[0] >= urgent_ns].appendleft(request)
        if size == 0:
            now = min(due_ns, coming[following][0]) if following < count else due_ns
            continue
        now += service(size, now)
        good += sum(request[2] >= now for request in batch[:size])


def _examined(levels: Sequence[deque[Request]], most: int, now: int) -> list[Request]:
    """Take up to `most` from the heads; the expired among them are rejected."""
    batch: list[Request] = []
    for waiting in levels:
        while waiting and len(batch) < most:
            request = waiting.popleft()
            if request[1] >= now:
                batch.append(request)
    return batch


def _size(ready: int, delayed_enough: bool, setting: Setting) -> int:
    """How many of `ready` requests go out now; 0: wait."""
    if delayed_enough and setting.delay_ns:
        return ready
    possible = [size for size in setting.preferred or (setting.max_batch,) if size <= ready]
    if possible:
        return possible[-1]
    return 0 if setting.delay_ns else ready


def grid(costs: Costs, slack_ns: int) -> Iterator[Setting]:
    """The settings tried for one trace.

    Args:
        slack_ns: what a task typically has left when it comes; common time-outs are shares of it.
    """
    timeouts: list[dict[str, int]] = [{}]
    timeouts += [{"timeout_ns": int(slack_ns * share)} for share in _TIMEOUT_SHARES]
    timeouts += [{"own_margin_ns": int(costs(costs.largest) * times)} for times in (0.5, 1, 2)]
    for most in (costs.largest // 2, costs.largest):
        preferred = ((), (most // 4,), (most // 2,), (most // 4, most // 2))
        for sizes, delay_ms, timeout in itertools.product(preferred, _DELAYS_MS, timeouts):
            yield Setting(most, sizes, delay_ms * MS, **timeout)


def with_levels(setting: Setting, tasks: Sequence[Task]) -> Iterator[Setting]:
    """The same with two priority levels, divided where a quarter, half, three quarters of the tasks have less left."""
    slacks_ns = sorted(task.deadline_ns - task.at_ns for task in tasks)
    for quarter in (1, 2, 3):
        yield replace(setting, urgent_ns=slacks_ns[len(slacks_ns) * quarter // 4])
