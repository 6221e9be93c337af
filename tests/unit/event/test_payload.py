"""What consumers read: every record fits its schema, every field is documented, JSON and Protobuf say the same."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from pipelines.event.payload import STAGES, JsonEncoder
from pipelines.event.protobuf import ProtobufEncoder
from pipelines.schema import framegate_pb2 as pb
from pipelines.values import AlertType, CameraHealth, CameraState, Cause, Timeline
from tests.unit.event.build import START_NS, WALL_MS, alert, frame

SCHEMAS = Path(__file__).parents[3] / "configs" / "schema"
HEALTH = CameraHealth("yard", CameraState.STALLED, WALL_MS, "no packet for 5 s", Cause.BLACK)


def check(name: str, data: bytes) -> dict[str, Any]:
    """The record, if it fits the schema and has no field that the schema does not describe."""
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    record: dict[str, Any] = json.loads(data)
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    validator.validate(record)
    assert set(record) <= set(schema["properties"])
    return record


def test_an_alert() -> None:
    assert check("alert", JsonEncoder().alert(alert())) == {
        "schema": "framegate.alert/1",
        "event_id": "01977420-dc00-7000-8000-000000000001",
        "type": "new",
        "camera_id": "yard",
        "time": WALL_MS,
        "started": WALL_MS,
        "boxes": [[10.0, 20.1, 110.1, 220.0]],
        "classes": ["person"],
        "scores": [0.9123],
        "source_size": [1920, 1080],
        "task_id": "7",
        "model": "toy",
        "degraded": None,
        "source": "gate",
        "timeline_ms": {"read": 1.5, "answered": 40.123},
    }


def test_an_end_has_a_reason_and_no_timeline() -> None:
    record = check("alert", JsonEncoder().alert(alert(type=AlertType.END, reason="gone", timeline=Timeline())))

    assert (record["reason"], record["timeline_ms"]) == ("gone", {})


def test_a_degraded_alert_without_boxes() -> None:
    record = check("alert", JsonEncoder().alert(alert(boxes=(), classes=(), scores=(), degraded="presence")))

    assert (record["boxes"], record["degraded"]) == ([], "presence")


def test_frame_detections() -> None:
    result = frame(2.0, ("person", 0.912349, (0.06, 1.0, 2.0, 3.0)), ("car", 0.5))

    record = check("detections", JsonEncoder().result(result))

    assert record["boxes"][0] == [0.1, 1.0, 2.0, 3.0]
    assert (record["classes"], record["scores"]) == (["person", "car"], [0.9123, 0.5])
    assert (record["time"], record["frame"], record["task_id"]) == (WALL_MS + 2000, 50, "2000")
    assert check("detections", JsonEncoder().result(replace(result, lane="rack/rdma")))["lane"] == "rack/rdma"
    assert check("detections", JsonEncoder().result(frame(0.0)))["boxes"] == []


@pytest.mark.parametrize("health", [HEALTH, CameraHealth("Hof Süd", CameraState.LIVE, WALL_MS)])
def test_health(health: CameraHealth) -> None:
    record = check("health", JsonEncoder().health(health))

    assert record["camera_id"] == health.camera_id
    assert record["picture"] == (health.picture and health.picture.value)


def test_every_state_and_cause_of_a_bad_picture_is_in_the_schema() -> None:
    pictures = [None, Cause.BLACK, Cause.WHITE, Cause.FROZEN, Cause.COVERED]
    for state in CameraState:
        for picture in pictures:
            check("health", JsonEncoder().health(CameraHealth("c", state, 1, picture=picture)))


@pytest.mark.parametrize(
    "spoil",
    [
        {"type": "begin"},
        {"boxes": [[1, 2, 3]]},
        {"time": "now"},
        {"degraded": "maybe"},
        {"type": "end"},
        {"scores": [2]},
    ],
)
def test_the_alert_schema_refuses(spoil: dict[str, object]) -> None:
    """A schema that lets everything pass proves nothing."""
    record = json.loads(JsonEncoder().alert(alert())) | spoil

    with pytest.raises(ValidationError):
        check("alert", json.dumps(record).encode())


def test_json_is_one_line_of_utf8() -> None:
    data = JsonEncoder().alert(alert(camera_id="Hof Süd\n1"))

    assert b"\n" not in data
    assert "Süd" in data.decode()


def test_not_a_number_is_not_json() -> None:
    with pytest.raises(ValueError, match="JSON"):
        JsonEncoder().alert(alert(scores=(float("nan"),)))


def test_all_stages_of_the_timeline_are_known() -> None:
    assert ("arrival", *STAGES) == tuple(field.name.removesuffix("_ns") for field in fields(Timeline))
    assert {f"{stage}_ms" for stage in STAGES} == set(pb.Timeline.DESCRIPTOR.fields_by_name)
    for name in ("alert", "detections"):
        text = (SCHEMAS / f"{name}.schema.json").read_text()
        assert all(f'"{stage}": {{"type": "number"}}' in text for stage in STAGES)


def test_protobuf_alert_says_the_same() -> None:
    message = pb.Alert.FromString(ProtobufEncoder().alert(alert()))

    assert (message.event_id, message.camera_id) == ("01977420-dc00-7000-8000-000000000001", "yard")
    assert (message.type, message.time_ms, message.started_ms) == (pb.ALERT_TYPE_NEW, WALL_MS, WALL_MS)
    (found,) = message.detections
    assert found.class_name == "person"
    assert found.score == pytest.approx(0.9123)
    box = found.box
    assert [box.x0, box.y0, box.x1, box.y1] == pytest.approx([10.0, 20.1, 110.1, 220.0])
    assert (message.source_width_px, message.source_height_px) == (1920, 1080)
    assert (message.task_id, message.model, message.degraded, message.source) == ("7", "toy", "", "gate")
    assert message.timeline.answered_ms == pytest.approx(40.123)
    assert not message.timeline.HasField("taken_ms")
    assert message.WhichOneof("snapshot") is None


def test_protobuf_types_reasons_and_snapshots() -> None:
    def sent(**changes: object) -> pb.Alert:
        return pb.Alert.FromString(ProtobufEncoder().alert(alert(**changes)))

    assert sent(type=AlertType.UPDATE).type == pb.ALERT_TYPE_UPDATE
    assert sent(type=AlertType.END, reason="gone").reason == "gone"
    assert sent(snapshot="/data/yard/1.jpg").snapshot_path == "/data/yard/1.jpg"
    assert sent(snapshot="data:image/jpeg;base64,AAEC").snapshot_jpeg == b"\0\1\2"


def test_protobuf_detections_and_health() -> None:
    result = replace(frame(2.0, ("person", 0.9), ("car", 0.5)), degraded="detector", lane="rack/grpc")
    found = pb.FrameDetections.FromString(ProtobufEncoder().result(result))
    health = pb.CameraHealth.FromString(ProtobufEncoder().health(HEALTH))

    assert [d.class_name for d in found.detections] == ["person", "car"]
    assert (found.frame, found.task_id, found.degraded, found.lane) == (50, "2000", "detector", "rack/grpc")
    assert found.timeline.read_ms == pytest.approx(1.5)
    assert (health.state, health.picture, health.reason) == ("stalled", "black", "no packet for 5 s")


def test_times_relative_to_an_arrival_that_is_not_zero() -> None:
    early = Timeline(arrival_ns=START_NS, read_ns=START_NS)

    assert json.loads(JsonEncoder().alert(alert(timeline=early)))["timeline_ms"] == {"read": 0.0}


def test_the_documented_record_fits_the_schema_and_every_field_is_explained() -> None:
    text = (SCHEMAS.parents[1] / "docs" / "alerts.md").read_text()
    check("alert", text.split("```json")[1].split("```")[0].encode())
    rows = [row.split("|")[1] for row in text.splitlines() if row.startswith("| `")]
    fields_explained = {name for row in rows for name in row.replace("`", "").replace(" ", "").split(",")}

    described = set(json.loads((SCHEMAS / "alert.schema.json").read_text())["properties"])
    assert described - fields_explained == {"camera_id", "model"}
