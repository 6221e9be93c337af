"""The full example, configs/full.yaml: every key at its default, with its meaning."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path

import yaml
from pydantic import BaseModel

from app.config.camera import CameraDefaults
from app.config.deployment import Config
from app.config.shape import models, tag, value_type

_WIDTH = 118
_EXAMPLES: Mapping[str, object] = {
    "url": "rtsp://${CAMERA_USER}:${CAMERA_PASSWORD}@192.0.2.10:554/stream1",
    "username": "viewer",
    "password": "${CAMERA_PASSWORD}",
    "kafka.username": "framegate",
    "kafka.password": "${KAFKA_PASSWORD}",
    "kafka.sasl_mechanism": "SCRAM-SHA-512",
    "mqtt.username": "framegate",
    "mqtt.password": "${MQTT_PASSWORD}",
    "token": "${FRAMEGATE_TOKEN}",
    "ca_file": "/etc/framegate/ca.pem",
    "cert_file": "/etc/framegate/cert.pem",
    "key_file": "/etc/framegate/key.pem",
    "client_ca_file": "/etc/framegate/client-ca.pem",
    "client_id": "framegate-hall-1",
    "keep_score": 0.4,
    "servers": ["kafka.example.com:9092"],
    "host": "mqtt.example.com",
    "path": "alerts.jsonl",
    "detections_path": "detections.jsonl",
    "health_path": "health.jsonl",
    "detections_topic": "framegate.detections",
    "health_topic": "framegate.health",
    "socket": "/run/framegate/worker.sock",
    "size": "416x256",
    "family": "yolox",
    "address": "192.0.2.20:7471",
    "model": "detector",
    "secret": "${LANE_SECRET}",
}
"""For keys that have no default, or `TYPE.key` for those of one sink."""


def full_example() -> str:
    """configs/full.yaml: every key at its default, those without one as an example or commented out."""
    lines = [_FULL_HEADER]
    for name, field in Config.model_fields.items():
        lines += ["", *_comment(field.description or "", 0)]
        if name == "cameras":
            lines += _FULL_CAMERAS.splitlines()
        elif name == "sinks":
            lines.append("sinks:")
            for section in models(value_type(field.annotation)):
                lines += ["", *_comment(section.__doc__ or "", 2), f"  {tag(section)}:", f"    type: {tag(section)}"]
                lines += _example(section, 4, skip="type")
        elif name == "workers":
            lines += _FULL_WORKERS.splitlines()
        elif name == "camera_files":
            lines.append("# camera_files: [cameras.d/*.yaml]")
        elif sections := models(field.annotation):
            lines += [f"{name}:", *_example(sections[0], 2)]
        else:
            lines.append(f"{name}: {yaml_text(field.get_default())}")
    return "\n".join(lines) + "\n"


def _example(model: type[BaseModel], indent: int, skip: str = "", off: str = "") -> Iterator[str]:
    """A section's lines. `off` is `# ` inside a section that is commented out."""
    for name, field in model.model_fields.items():
        if name == skip:
            continue
        yield from _comment(field.description or "", indent)
        margin = " " * indent + off
        sections = models(field.annotation)
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        if sections:
            closed = off or ("# " if default is None else "")
            yield f"{' ' * indent}{closed}{name}:"
            yield from _example(sections[0], indent + 2, off=closed)
        elif default is None:
            closed = "" if field.is_required() or off else "# "
            example = _EXAMPLES.get(f"{tag(model)}.{name}", _EXAMPLES.get(name))
            value = "" if example is None else yaml_text(example)
            yield f"{margin}{closed}{name}: {value}".rstrip()
        else:
            yield f"{margin}{name}: {yaml_text(default)}"


def _comment(text: str, indent: int) -> Iterator[str]:
    """Wrapped to the house's line length."""
    line = ""
    for word in text.split():
        if line and indent + len(line) + len(word) + 3 > _WIDTH:
            yield f"{' ' * indent}# {line}"
            line = ""
        line = f"{line} {word}".strip()
    if line:
        yield f"{' ' * indent}# {line}"


def yaml_text(value: object) -> str:
    """A value as YAML (of which JSON is a part)."""
    if isinstance(value, Enum):
        named = isinstance(value, typing.cast(type, CameraDefaults.model_fields["priority"].annotation))
        return str(value.name.lower() if named else value.value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str) and value and yaml.safe_load(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


_FULL_HEADER = """# Every key of a deployment, at its default, each with its meaning; see docs/configuration.md.
# Written by `python -m app.config.reference`; copy it, do not edit it. Start from minimal.yaml and take what you need.
# yaml-language-server: $schema=schema/config.schema.json"""

_FULL_WORKERS = """# workers:
#   here: {}
#   service: {socket: /run/framegate/worker-2.sock}
#   rack:
#     rdma: {address: 192.0.2.20:7471, secret: "${LANE_SECRET}"}
#     grpc: {address: 192.0.2.20:8001, model: detector, tls: {}}"""

_FULL_CAMERAS = """cameras:
  entrance:
    url: rtsp://192.0.2.10:554/stream1
    username: ${CAMERA_USER}
    password: ${CAMERA_PASSWORD}
    region: ground floor
    priority: high
    # Only what differs from the defaults.
    episode:
      classes: [person]
      masks:
        # The street behind the fence: x, y from 0 (left, top) to 1.
        - [[0, 0], [1, 0], [1, 0.2], [0, 0.25]]
  yard:
    url: rtsps://192.0.2.11/live?channel=1
    analyse_fps: 2
    color:
      range: full"""
