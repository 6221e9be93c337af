"""Options of the control server; here so that reading a configuration needs no web library."""

from __future__ import annotations

import ipaddress

from pydantic import BaseModel, Field, SecretStr


class HttpOptions(BaseModel, frozen=True, extra="forbid"):
    """Probes, metrics, report and states over HTTP."""

    enabled: bool = Field(True, description="false: no HTTP server at all.")
    host: str = Field(
        "127.0.0.1", min_length=1, description="Address to listen on; beyond loopback a token is required."
    )
    port: int = Field(8077, ge=0, le=65535, description="TCP port; 0: any free one.")
    token: SecretStr | None = Field(
        None, min_length=8, description="Clients must send it as `Authorization: Bearer TOKEN`; probes need none."
    )

    @property
    def loopback(self) -> bool:
        """Only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
