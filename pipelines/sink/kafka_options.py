"""Options of the Kafka sink; apart from it, so that reading a configuration does not import aiokafka."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, SecretStr, model_validator

from pipelines.sink.tls import TlsOptions


class KafkaOptions(BaseModel, frozen=True, extra="forbid"):
    """Where the brokers are, which topics to write, and how to get in."""

    servers: tuple[str, ...] = Field(min_length=1, description='Brokers to begin with, each "host:port".')
    topic: str = Field(default="framegate.alerts", min_length=1, description="Topic for alerts.")
    detections_topic: str | None = Field(default=None, description="Topic for each frame's detections; empty: none.")
    health_topic: str | None = Field(default=None, description="Topic for changes of camera health; empty: none.")
    encoding: Literal["json", "protobuf", "deepstream"] = Field(
        default="json", description="Form of the value: our JSON, our Protobuf, or DeepStream's minimal schema."
    )
    compression: Literal["none", "gzip", "lz4"] = Field(
        default="none", description="Compression of batches; lz4 needs the package cramjam."
    )
    client_id: str = Field(default="framegate", description="Name of this client in the broker's logs.")
    tls: TlsOptions | None = Field(default=None, description="TLS to the brokers; empty: plain TCP.")
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        default=None, description="How to log in; empty: not at all."
    )
    username: str | None = Field(default=None, description="User name for SASL.")
    password: SecretStr | None = Field(default=None, description="Password for SASL.")
    idempotent: bool = Field(
        default=True, description="No duplicates from retries; false only for brokers that cannot do it."
    )
    linger_ms: int = Field(default=0, ge=0, description="Milliseconds to wait for more records per batch.")
    max_record_bytes: int = Field(
        default=1_000_000, ge=1024, description="Largest record to try; larger ones fail. Not above the broker's limit."
    )
    request_timeout_s: float = Field(default=10.0, gt=0, description="Seconds to wait for one answer of a broker.")
    retry_max_s: float = Field(default=10.0, gt=0, description="Longest pause between attempts to get a producer.")
    buffer_records: int = Field(default=10_000, ge=1, description="Records kept per topic while the broker is away.")
    buffer_bytes: int = Field(default=64 * 1024**2, ge=1024, description="Bytes kept per topic, likewise.")

    @model_validator(mode="after")
    def _login(self) -> KafkaOptions:
        if self.sasl_mechanism and (self.username is None or self.password is None):
            raise ValueError("sasl_mechanism needs username and password")
        if not self.sasl_mechanism and (self.username is not None or self.password is not None):
            raise ValueError("username and password need sasl_mechanism (PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512)")
        return self
