"""Hides user and password in URLs, wherever they may be quoted: messages of FFmpeg repeat the whole URL."""

from __future__ import annotations

import re
from urllib.parse import unquote

_USERINFO = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s'\"<>]*@")
"""Greedy up to the last @ before the path, so that a password with a raw @ in it leaves nothing behind."""
_QUERY_SECRET = re.compile(
    r"(?i)(?P<key>[?&](?:user|username|usr|login|pass|passwd|password|pwd|token|auth)=)[^&#\s'\"]*"
)
_HIDDEN = "***"
_SHORTEST_SECRET = 3
"""Shorter pieces of text are not looked for on their own: replacing each "a" says more about a secret than it hides."""


def redact(text: str, url: str = "") -> str:
    """`text` without the credentials of any URL in it.

    Args:
        text: Any message.
        url: The URL the message is about, if known: its user and password are also hidden where they stand alone, as
            written and percent-decoded.
    """
    text = _USERINFO.sub(rf"\g<scheme>{_HIDDEN}@", text)
    text = _QUERY_SECRET.sub(rf"\g<key>{_HIDDEN}", text)
    for secret in _secrets(url):
        text = text.replace(secret, _HIDDEN)
    return text


def _secrets(url: str) -> list[str]:
    """Password of a URL in all its spellings, longest first; the user name is hidden in URLs only."""
    match = _USERINFO.search(url)
    pieces = [m.group().rpartition("=")[2] for m in _QUERY_SECRET.finditer(url)]
    if match:
        pieces.append(match.group().removeprefix(match["scheme"])[:-1].partition(":")[2])
    spellings = {form for piece in pieces for form in (piece, unquote(piece)) if len(form) >= _SHORTEST_SECRET}
    return sorted(spellings, key=len, reverse=True)
