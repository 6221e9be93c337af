"""The feed: who gets what, what is remembered, what a slow subscriber loses, and that the sums are right."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.sink.grpc_feed import Entry, Feed, Subscription, Wants
from pipelines.values import AlertType
from tests.fakes.record import alert


def entry(number: int, size: int = 10, **changes: object) -> Entry:
    return Entry(alert(number, **changes), b"x" * size)  # type: ignore[arg-type]


def feed(subscribers: int = 8, waiting: int = 8, remember: int = 8, remember_bytes: int = 10_000) -> Feed:
    return Feed(subscribers, waiting, remember, remember_bytes)


def join(to: Feed, **wants: object) -> Subscription:
    subscription = to.subscribe(Wants(**wants), "peer", lambda: None)  # type: ignore[arg-type]
    assert subscription is not None
    return subscription


def taken(subscription: Subscription) -> list[str]:
    out = []
    while (found := subscription.take()) is not None:
        out.append(found.alert.task_id)
        subscription.sent()
    return out


def test_all_or_some_cameras() -> None:
    source = feed()
    everybody, yard = join(source), join(source, cameras=frozenset({"yard"}))

    source.offer(entry(1, camera="door"))
    source.offer(entry(2, camera="yard"))

    assert (taken(everybody), taken(yard)) == (["1", "2"], ["2"])


def test_an_episode_that_matched_is_followed_to_its_end() -> None:
    """The `end` shows the best boxes, maybe of another class: whoever got a `new` must get its `end`."""
    source = feed()
    cars = join(source, classes=frozenset({"car"}))

    source.offer(entry(1, event_id="a", classes=("person",)))
    source.offer(entry(2, event_id="a", type=AlertType.UPDATE, classes=("person", "car")))
    source.offer(entry(3, event_id="a", type=AlertType.UPDATE, classes=("person",)))
    source.offer(entry(4, event_id="a", type=AlertType.END, classes=("person",)))
    source.offer(entry(5, event_id="b", type=AlertType.END, classes=("person",)))

    assert taken(cars) == ["2", "3", "4"]


def test_the_past_comes_first_and_without_a_gap() -> None:
    source = feed()
    for number in range(1, 4):
        source.offer(entry(number))
    late = join(source, since_ms=alert(2).time_ms)
    new_only = join(source)
    source.offer(entry(4))

    assert (taken(late), taken(new_only)) == (["2", "3", "4"], ["4"])


def test_memory_is_bounded_in_records_and_bytes() -> None:
    by_count, by_bytes, none = feed(remember=3), feed(remember_bytes=25), feed(remember=0)
    for number in range(10):
        for source in (by_count, by_bytes, none):
            source.offer(entry(number))

    assert (by_count.remembered, by_bytes.remembered, none.remembered) == (3, 2, 0)
    assert taken(join(by_count, since_ms=1)) == ["7", "8", "9"]


def test_a_slow_subscriber_loses_the_oldest_and_only_its_own() -> None:
    source = feed(waiting=2)
    slow, quick = join(source), join(source)

    quick_got = []
    for number in range(5):
        source.offer(entry(number))
        quick_got += taken(quick)

    assert quick_got == ["0", "1", "2", "3", "4"]
    assert (slow.dropped, slow.peak_waiting, taken(slow)) == (3, 2, ["3", "4"])


def test_replay_does_not_count_against_the_bound() -> None:
    source = feed(waiting=1, remember=5)
    for number in range(5):
        source.offer(entry(number))

    late = join(source, since_ms=1)
    source.offer(entry(5))

    assert taken(late) == ["0", "1", "2", "3", "4", "5"]


def test_too_many_subscribers_are_refused_until_one_leaves() -> None:
    source = feed(subscribers=1)
    first = join(source)
    assert source.subscribe(Wants(), "peer", lambda: None) is None

    source.leave(first)

    join(source)


@given(st.lists(st.sampled_from(["offer", "join", "take", "sent", "leave"]), max_size=80), st.randoms())
def test_every_delivery_is_counted_once(script: list[str], random: object) -> None:
    """offered == acked + dropped + failed + waiting after every step, whoever comes and goes."""
    source = feed(waiting=2, remember=3)
    sending: set[Subscription] = set()
    for number, step in enumerate(script):
        people = source.subscriptions
        someone = people[random.randrange(len(people))] if people else None  # type: ignore[attr-defined]
        if step == "offer":
            source.offer(entry(number))
        elif step == "join":
            source.subscribe(Wants(since_ms=1), "peer", lambda: None)
        elif step == "take" and someone is not None and someone not in sending and someone.take():
            sending.add(someone)
        elif step == "sent" and someone in sending:
            sending.discard(someone)
            someone.sent()
        elif step == "leave" and someone is not None:
            sending.discard(someone)
            source.leave(someone)
        assert source.offered == source.acked + source.dropped + source.failed + source.waiting
