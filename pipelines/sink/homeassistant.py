"""Home Assistant's MQTT discovery: how a camera's topics become entities there. Pure.

Source: https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from pipelines.sink.mqtt_topic import Topics


def slug(name: str) -> str:
    """A name as Home Assistant allows it in ids: letters, digits, `_` and `-`; a checksum keeps changed ones apart."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    return plain if plain == name else f"{plain}_{zlib.crc32(name.encode()):08x}"


class Discovery:
    """Config messages of one deployment: topic -> payload, to be published retained."""

    def __init__(self, discovery_prefix: str, prefix: str) -> None:
        self._discovery_prefix = discovery_prefix
        self._node = slug(prefix)
        self._topics = Topics(prefix)

    def camera(self, camera_id: str) -> Mapping[str, bytes]:
        """A connectivity entity for the camera itself."""
        config = {
            "name": "Connection",
            "state_topic": self._topics.status(camera_id),
            "value_template": "{{ 'ON' if value == 'online' else 'OFF' }}",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
        }
        return dict([self._entity("binary_sensor", camera_id, "status", config)])

    def classes(self, camera_id: str, class_names: Iterable[str]) -> Mapping[str, bytes]:
        """A count and an occupancy entity for each class."""
        messages: dict[str, bytes] = {}
        for name in class_names:
            state = {"state_topic": self._topics.count(camera_id, name)}
            count = state | {"name": f"{name} count".capitalize(), "state_class": "measurement"}
            occupancy = state | {
                "name": f"{name} occupancy".capitalize(),
                "value_template": "{{ 'ON' if value | int(0) > 0 else 'OFF' }}",
                "device_class": "occupancy",
            }
            messages.update(
                [
                    self._entity("sensor", camera_id, f"{slug(name)}_count", count),
                    self._entity("binary_sensor", camera_id, f"{slug(name)}_occupancy", occupancy),
                ]
            )
        return messages

    def _entity(self, component: str, camera_id: str, object_id: str, config: dict[str, Any]) -> tuple[str, bytes]:
        device = f"{self._node}_{slug(camera_id)}"
        unique_id = f"{device}_{object_id}"
        config |= {
            "unique_id": unique_id,
            "availability_topic": self._topics.available,
            "device": {"identifiers": [device], "name": camera_id, "manufacturer": "Framegate"},
        }
        return f"{self._discovery_prefix}/{component}/{unique_id}/config", json.dumps(config).encode()
