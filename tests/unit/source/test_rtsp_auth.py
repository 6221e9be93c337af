from __future__ import annotations

import re

from pipelines.source.rtsp_auth import Login


def test_digest_as_in_rfc_2617() -> None:
    """3.5 of the RFC, without qop: RTSP servers use that."""
    login = Login("Mufasa", "Circle Of Life")
    nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093"

    assert login.header("GET", "/dir/index.html") == ""
    assert login.challenged([f'Digest realm="testrealm@host.com", nonce="{nonce}", opaque="5ccc"'])
    header = login.header("GET", "/dir/index.html")
    assert 'response="670fd8c2df070c60b045671b8b24ff02"' in header
    assert 'opaque="5ccc"' in header
    assert "Circle" not in header


def test_digest_with_qop_counts_its_requests() -> None:
    login = Login("joe", "secret")

    assert login.challenged(['Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256'])
    counts = [re.search(r"nc=(\d+)", login.header("DESCRIBE", "rtsp://h/")) for _ in range(2)]
    assert [count[1] for count in counts if count] == ["00000001", "00000002"]


def test_the_strongest_that_both_know() -> None:
    login = Login("joe", "secret")

    assert login.challenged(['Basic realm="r"', 'Digest realm="r", nonce="n"'])
    assert login.header("PLAY", "u").startswith("Digest ")
    assert login.challenged(['Digest realm="r", nonce="n", algorithm=SHA-512-256', 'Basic realm="r"'])


def test_basic() -> None:
    login = Login("joe", "secret")

    assert login.challenged(['Basic realm="r"'])
    assert login.header("PLAY", "u") == "Basic am9lOnNlY3JldA=="


def test_nobody_to_log_in() -> None:
    assert not Login("", "").challenged(['Basic realm="r"'])
    assert not Login("joe", "x").challenged(["Negotiate"])
