"""Where alerts go: the sinks' own options, each under a name, told apart by `type:`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipelines.sink.grpc_options import GrpcOptions
from pipelines.sink.jsonl import JsonlOptions
from pipelines.sink.kafka_options import KafkaOptions
from pipelines.sink.mqtt_options import MqttOptions


class JsonlSink(JsonlOptions, frozen=True, extra="forbid"):
    """JSON lines, appended to files."""

    type: Literal["jsonl"] = Field(description="jsonl: JSON lines, appended to files.")


class KafkaSink(KafkaOptions, frozen=True, extra="forbid"):
    """Kafka topics; the key is the camera's id."""

    type: Literal["kafka"] = Field(description="kafka: Kafka topics; the key is the camera's id.")


class MqttSink(MqttOptions, frozen=True, extra="forbid"):
    """MQTT topics, in Frigate's manner."""

    type: Literal["mqtt"] = Field(description="mqtt: MQTT topics below a prefix.")


class GrpcSink(GrpcOptions, frozen=True, extra="forbid"):
    """A gRPC server to subscribe to."""

    type: Literal["grpc"] = Field(description="grpc: a server that consumers subscribe to.")


SinkConfig = Annotated[JsonlSink | KafkaSink | MqttSink | GrpcSink, Field(discriminator="type")]
