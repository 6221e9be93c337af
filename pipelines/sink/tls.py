"""TLS options and client context, shared by the sinks that connect to a broker."""

from __future__ import annotations

import ssl
from pathlib import Path

from pydantic import BaseModel, Field, model_validator

from pipelines.errors import SinkError


class TlsOptions(BaseModel, frozen=True, extra="forbid"):
    """How to know the broker, and how to be known by it."""

    ca_file: Path | None = Field(default=None, description="PEM file of the authorities to trust; empty: the system's.")
    cert_file: Path | None = Field(default=None, description="PEM file of our own certificate (with its chain).")
    key_file: Path | None = Field(default=None, description="PEM file of our certificate's private key.")
    check_hostname: bool = Field(default=True, description="Refuse a certificate that does not name the host.")

    @model_validator(mode="after")
    def _pair(self) -> TlsOptions:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together: give both or none")
        return self


def client_context(options: TlsOptions) -> ssl.SSLContext:
    """Read the files and make a context for one connection. Blocks on the disk for a moment.

    Raises:
        SinkError: a file is missing or not what it should be; the message names it.
    """
    reading = options.ca_file
    try:
        context = ssl.create_default_context(cafile=str(options.ca_file) if options.ca_file else None)
        context.check_hostname = options.check_hostname
        if options.cert_file and options.key_file:
            reading = options.cert_file
            context.load_cert_chain(options.cert_file, options.key_file)
    except OSError as error:  # ssl.SSLError is one
        raise SinkError(f"TLS file {reading}: {error.strerror or error}") from error
    return context
