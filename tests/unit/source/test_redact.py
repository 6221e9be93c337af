from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.source.redact import redact

SECRET = "s3cr%40t!"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("rtsp://user:pw@cam/1", "rtsp://***@cam/1"),
        ("rtsps://user@cam:322", "rtsps://***@cam:322"),
        ("rtsp://user:p@ss:w@rd@10.0.0.1:554/a@b", "rtsp://***@10.0.0.1:554/a@b"),
        ("no url: user@host", "no url: user@host"),
        ("rtsp://cam/1?user=bob&password=pw&channel=2", "rtsp://cam/1?user=***&password=***&channel=2"),
        ("a rtsp://u:p@x/1 and b http://v:q@y/", "a rtsp://***@x/1 and b http://***@y/"),
    ],
)
def test_hides_userinfo_and_secret_parameters(text: str, clean: str) -> None:
    assert redact(text) == clean


def test_hides_the_password_where_it_stands_alone() -> None:
    """FFmpeg and servers quote the password outside of a URL, percent-decoded or not."""
    url = f"rtsp://user:{SECRET}@cam/1"

    clean = redact(f"login {SECRET} refused, tried s3cr@t!", url)

    assert "s3cr" not in clean


@given(st.text(st.characters(codec="ascii", exclude_characters="/ \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f'\"<>"), min_size=6))
def test_no_password_survives(password: str) -> None:
    url = f"rtsp://u:{password}@host/path"

    clean = redact(f"[Errno 5] failed: '{url}'", url)

    assert password not in clean or set(password) <= set("*@")
