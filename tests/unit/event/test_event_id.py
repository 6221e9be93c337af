from __future__ import annotations

from uuid import RFC_4122, UUID

from pipelines.event.event_id import uuid7


def test_it_is_a_uuid_of_version_7_that_holds_the_time() -> None:
    made = UUID(uuid7(1_750_000_000_123))

    assert made.version == 7
    assert made.variant == RFC_4122
    assert made.int >> 80 == 1_750_000_000_123


def test_ids_sort_by_time_and_differ_within_a_millisecond() -> None:
    assert uuid7(1_750_000_000_000) < uuid7(1_750_000_000_001)
    assert len({uuid7(5) for _ in range(100)}) == 100
