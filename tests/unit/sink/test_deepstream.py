"""DeepStream's minimal schema, field by field."""

from __future__ import annotations

import json
from dataclasses import replace

from pipelines.sink.deepstream import DeepStreamEncoder
from tests.fakes import record

ENCODER = DeepStreamEncoder(record.PlainEncoder())
UNTRACKED = "18446744073709551615"


def test_alert_becomes_a_frame_with_its_objects() -> None:
    message = json.loads(ENCODER.alert(record.alert(7, classes=("person", "car"))))

    assert message == {
        "version": "4.0",
        "id": "7",
        "@timestamp": "2023-11-14T22:13:20.007Z",
        "sensorId": "door",
        "objects": [
            f"{UNTRACKED}|10|20|30|40|person|#||||||0.9",
            f"{UNTRACKED}|10|20|31|40|car|#|||||||0.9",
        ],
    }


def test_result_names_its_classes() -> None:
    message = json.loads(ENCODER.result(record.result(5)))

    assert message["id"] == "5"
    assert message["objects"] == [f"{UNTRACKED}|1|2|3.5|4|person|#||||||0.75"]


def test_end_of_an_episode_has_no_objects() -> None:
    message = json.loads(ENCODER.alert(replace(record.alert(classes=()), boxes=(), scores=())))

    assert message["objects"] == []


def test_class_name_cannot_split_the_field() -> None:
    message = json.loads(ENCODER.alert(record.alert(classes=("a|b",))))

    assert message["objects"][0].split("|")[5] == "a_b"


def test_health_stays_our_own() -> None:
    assert ENCODER.health(record.health()) == record.PlainEncoder().health(record.health())
