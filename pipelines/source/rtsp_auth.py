"""Logging in to an RTSP camera: Digest and Basic. Pure but for the client's nonce.

Sources: RFC 2326 D.1, RFC 2617, RFC 7616.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable, Sequence
from urllib.request import parse_http_list, parse_keqv_list

_HASHES: dict[str, Callable[[bytes], str]] = {
    "": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
}


class Login:
    """Answers a camera's challenges with one user's name and password. One connection's."""

    def __init__(self, user: str, password: str) -> None:
        self._user = user
        self._password = password
        self._digest: dict[str, str] | None = None
        self._basic = False
        self._count = 0

    def challenged(self, challenges: Sequence[str]) -> bool:
        """Take the WWW-Authenticate lines of a 401. False: there is none this can answer, or nobody to log in."""
        if not self._user:
            return False
        for challenge in challenges:
            scheme, _, rest = challenge.partition(" ")
            if scheme.lower() == "digest":
                fields = {key.lower(): value for key, value in parse_keqv_list(parse_http_list(rest)).items()}
                if fields.get("algorithm", "").upper() in _HASHES and "nonce" in fields:
                    self._digest, self._count = fields, 0
                    return True
        self._basic = any(challenge.lower().startswith("basic") for challenge in challenges)
        return self._basic

    def header(self, method: str, url: str) -> str:
        """The Authorization header's value for one request; empty before a challenge."""
        if self._digest is not None:
            return self._answer(self._digest, method, url)
        if self._basic:
            return "Basic " + base64.b64encode(f"{self._user}:{self._password}".encode()).decode()
        return ""

    def _answer(self, fields: dict[str, str], method: str, url: str) -> str:
        hashed = _HASHES[fields.get("algorithm", "").upper()]
        realm, nonce = fields.get("realm", ""), fields["nonce"]
        who = hashed(f"{self._user}:{realm}:{self._password}".encode())
        what = hashed(f"{method}:{url}".encode())
        out = {"username": self._user, "realm": realm, "nonce": nonce, "uri": url}
        if "auth" in [option.strip() for option in fields.get("qop", "").split(",")]:
            self._count += 1
            count, own = f"{self._count:08x}", secrets.token_hex(8)
            out["response"] = hashed(f"{who}:{nonce}:{count}:{own}:auth:{what}".encode())
            tail = f', qop=auth, nc={count}, cnonce="{own}"'
        else:
            out["response"] = hashed(f"{who}:{nonce}:{what}".encode())
            tail = ""
        if "opaque" in fields:
            out["opaque"] = fields["opaque"]
        if "algorithm" in fields:
            tail += f", algorithm={fields['algorithm']}"
        return "Digest " + ", ".join(f'{key}="{value}"' for key, value in out.items()) + tail
