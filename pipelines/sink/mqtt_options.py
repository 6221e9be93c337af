"""Options of the MQTT sink; apart from it, so that reading a configuration does not import aiomqtt."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator

from pipelines.sink.tls import TlsOptions


class MqttOptions(BaseModel, frozen=True, extra="forbid"):
    """Where the broker is, how to get in, and under which topics to publish."""

    host: str = Field(min_length=1, description="Host name or address of the broker.")
    port: int = Field(default=1883, ge=1, le=65535, description="Port of the broker; usually 8883 with TLS.")
    prefix: str = Field(default="framegate", min_length=1, description="First part of every topic.")
    client_id: str | None = Field(
        default=None, description="Client id, unique at the broker; empty: a random one at each start."
    )
    username: str | None = Field(default=None, description="User name; empty: anonymous.")
    password: SecretStr | None = Field(default=None, description="Password of that user.")
    tls: TlsOptions | None = Field(default=None, description="TLS to the broker; empty: plain TCP.")
    discovery: bool = Field(default=False, description="Announce cameras and counts to Home Assistant.")
    discovery_prefix: str = Field(
        default="homeassistant", min_length=1, description="Home Assistant's own discovery prefix."
    )
    keepalive_s: int = Field(
        default=30, ge=1, le=65535, description="The broker publishes our last will after 1.5 times so many seconds."
    )
    timeout_s: float = Field(default=10.0, gt=0, description="Seconds to wait for one answer of the broker.")
    in_flight: int = Field(default=20, ge=1, le=65535, description="Events sent before the first is acknowledged.")
    max_record_bytes: int = Field(
        default=1_000_000, ge=1024, description="Largest event to try; larger ones fail. Not above the broker's limit."
    )
    retry_max_s: float = Field(default=10.0, gt=0, description="Longest pause between attempts to connect.")
    buffer_records: int = Field(default=10_000, ge=1, description="Events kept while the broker is away.")
    buffer_bytes: int = Field(default=16 * 1024**2, ge=1024, description="Bytes of events kept, likewise.")

    @field_validator("prefix", "discovery_prefix")
    @classmethod
    def _plain(cls, value: str) -> str:
        if any(letter in value for letter in "+#\0") or value.startswith(("/", "$")) or value.endswith("/"):
            raise ValueError("a topic prefix has no + # or NUL, begins with neither / nor $, and does not end with /")
        return value

    @model_validator(mode="after")
    def _login(self) -> MqttOptions:
        if self.password is not None and self.username is None:
            raise ValueError("password needs username")
        return self
