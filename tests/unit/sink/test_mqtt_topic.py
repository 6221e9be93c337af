"""Topics are safe whatever a camera is called."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sink.homeassistant import Discovery, slug
from pipelines.sink.mqtt_topic import Topics, segment, status_word
from pipelines.values import CameraState, Cause
from tests.fakes import record


@given(st.text())
def test_segment_is_one_level_without_wildcards(name: str) -> None:
    assert segment(name)
    assert not set(segment(name)) & set("+#/\0")


def test_ordinary_names_stay_as_they_are() -> None:
    topics = Topics("site/framegate")

    assert topics.available == "site/framegate/available"
    assert topics.events == "site/framegate/events"
    assert topics.status("Tür 3") == "site/framegate/Tür 3/status"
    assert topics.count("door", "traffic light") == "site/framegate/door/traffic light"
    assert topics.health("a/+#\0b") == "site/framegate/a____b/health"


@pytest.mark.parametrize(
    ("state", "picture", "word"),
    [
        (CameraState.LIVE, None, "online"),
        (CameraState.LIVE, Cause.BLACK, "invalid_picture"),
        (CameraState.STALLED, None, "stalled"),
        (CameraState.BACKOFF, None, "offline"),
        (CameraState.STOPPED, Cause.BLACK, "offline"),
    ],
)
def test_status_in_one_word(state: CameraState, picture: Cause | None, word: str) -> None:
    assert status_word(replace(record.health(state=state), picture=picture)) == word


def test_slug_keeps_different_names_apart() -> None:
    assert slug("cam-1_a") == "cam-1_a"
    assert slug("a/b") != slug("a b") != slug("a_b")
    assert set(slug("Tür")) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def test_entities_of_a_camera_share_one_device() -> None:
    discovery = Discovery("homeassistant", "framegate")

    messages = {**discovery.camera("door"), **discovery.classes("door", ["person"])}

    assert sorted(messages) == [
        "homeassistant/binary_sensor/framegate_door_person_occupancy/config",
        "homeassistant/binary_sensor/framegate_door_status/config",
        "homeassistant/sensor/framegate_door_person_count/config",
    ]
    assert all(b'"identifiers": ["framegate_door"]' in config for config in messages.values())
    assert all(b'"availability_topic": "framegate/available"' in config for config in messages.values())
