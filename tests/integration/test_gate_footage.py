"""The motion gate on real footage: no event may begin unseen, and empty stretches must be mostly still."""

from __future__ import annotations

import json
from collections.abc import Iterator

import av
import numpy as np
import pytest

from pipelines.gate.motion import MotionGate, MotionOptions
from pipelines.preprocess.thumbnail import luma_thumbnail
from pipelines.values import U8
from tests.footage import footage

pytestmark = pytest.mark.footage
SECOND = 1_000_000_000
CLIPS = {"one-by-one-person-detection": (6, (5, 55)), "car-detection": (4, (2, 52))}
"""Clip: (number of events, an empty stretch)."""


def thumbnails(clip: str) -> Iterator[tuple[int, U8]]:
    """(time in ns, thumbnail) of each frame."""
    with av.open(str(footage(f"video/{clip}.mp4"))) as container:
        for frame in container.decode(video=0):
            plane = frame.planes[0]
            y = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
            yield int((frame.time or 0.0) * SECOND), luma_thumbnail(y)


def events(clip: str) -> list[tuple[int, int]]:
    """First and last frame number of each event."""
    truth = json.loads(footage(f"gt/{clip}.events.json").read_text())
    return [(event["start_frame"], event["end_frame"]) for event in truth["events"]]


@pytest.mark.parametrize("clip", CLIPS)
def test_no_event_is_missed(clip: str) -> None:
    """Every frame of every event goes on, from a quarter of a second after its first on."""
    gate = MotionGate(MotionOptions())
    times, moving = [], []
    for time_ns, thumbnail in thumbnails(clip):
        times.append(time_ns)
        moving.append(gate.update(thumbnail, time_ns).moving)

    assert len(events(clip)) == CLIPS[clip][0]
    for first, last in events(clip):
        seen = [n for n in range(first, last + 1) if times[n] >= times[first] + SECOND // 4]
        assert all(moving[n] for n in seen)


@pytest.mark.parametrize("clip", CLIPS)
def test_an_empty_stretch_is_still(clip: str) -> None:
    """The clip's own first empty seconds, to and fro for two minutes."""
    first, last = CLIPS[clip][1]
    empty = [thumbnail for _, (_, thumbnail) in zip(range(last), thumbnails(clip), strict=False)][first:]
    there_and_back = empty + empty[::-1]
    gate = MotionGate(MotionOptions())

    moving = [gate.update(there_and_back[n % len(there_and_back)], n * SECOND // 10).moving for n in range(1200)]

    assert np.mean(moving) < 0.03


@pytest.mark.parametrize("clip", CLIPS)
def test_events_after_a_quiet_minute_begin_with_their_first_frames(clip: str) -> None:
    """The gate is still when each event begins, and awake within three of its frames."""
    first, last = CLIPS[clip][1]
    frames = [thumbnail for _, thumbnail in thumbnails(clip)]
    empty = frames[first:last]
    quiet = (empty + empty[::-1]) * 6
    gate = MotionGate(MotionOptions())
    number = 0

    def shown(thumbnail: U8) -> bool:
        nonlocal number
        number += 1
        return gate.update(thumbnail, number * SECOND // 10).moving

    for start, _ in events(clip):
        before = [shown(thumbnail) for thumbnail in quiet]
        during = [shown(thumbnail) for thumbnail in frames[start : start + 30]]

        assert not before[-1]
        assert all(during[2:])
