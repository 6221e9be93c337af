"""A session over a played connection: what is asked, and what is made of the answers."""

from __future__ import annotations

import ssl
import time

import pytest

from pipelines.errors import SourceError
from pipelines.source.rtsp_session import NotSpoken, RtspSession, Target
from pipelines.source.rtsp_wire import Answer, Wire

SDP = b"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n"
CHALLENGE = 'Digest realm="r", nonce="n"'


def answer(status: int = 200, body: bytes = b"", challenges: tuple[str, ...] = (), **headers: str) -> Answer:
    return Answer(status, "said", {name.replace("_", "-"): value for name, value in headers.items()}, challenges, body)


SET_UP = answer(session="abc;timeout=8", transport="RTP/AVP/TCP;unicast;interleaved=2-3")


class PlayedWire(Wire):
    """Gives these answers, one per request."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__()
        self.sent: list[str] = []
        self.hosts: list[tuple[str, int, bool]] = []
        self._answers = list(answers)

    def connect(self, host: str, port: int, tls: ssl.SSLContext | None, deadline_s: float) -> None:
        self.hosts.append((host, port, tls is not None))

    def timeout(self, deadline_s: float) -> None:
        pass

    def send(self, data: bytes) -> None:
        self.sent.append(data.decode())

    def answer(self, deadline_s: float) -> Answer:
        return self._answers.pop(0)


def opened(*answers: Answer, url: str = "rtsp://joe:pw@host/cam") -> tuple[RtspSession, PlayedWire]:
    wire = PlayedWire(*answers)
    session = RtspSession(wire, ssl.create_default_context)
    session.open(url, time.monotonic() + 5)
    return session, wire


def requests(wire: PlayedWire) -> list[str]:
    return [text.split(" RTSP/")[0] for text in wire.sent]


def test_what_is_asked_and_where() -> None:
    session, wire = opened(answer(body=SDP, content_base="rtsp://host/cam/"), SET_UP, answer())

    assert requests(wire) == [
        "DESCRIBE rtsp://host/cam",
        "SETUP rtsp://host/cam/track1",
        "PLAY rtsp://host/cam/",
    ]
    assert "Session: abc\r\n" in wire.sent[2]
    assert session.channel == 2
    assert "pw" not in "".join(wire.sent)


def test_it_keeps_alive_twice_per_timeout() -> None:
    session, wire = opened(answer(body=SDP), SET_UP, answer())
    now_s = time.monotonic()

    session.keep_alive(now_s + 3)
    assert len(wire.sent) == 3
    session.keep_alive(now_s + 5)
    session.keep_alive(now_s + 6)
    session.keep_alive(now_s + 10)
    assert requests(wire)[3:] == ["OPTIONS rtsp://host/cam"] * 2


def test_a_login_that_ran_out_is_renewed_once() -> None:
    session, wire = opened(answer(body=SDP), SET_UP, answer())
    later_s = time.monotonic() + 5
    session.keep_alive(later_s)

    for _ in range(3):  # a server that refuses whatever comes
        session.hear(answer(401, challenges=(CHALLENGE,)))
        session.keep_alive(later_s + 0.1)

    assert len(wire.sent) == 5
    assert "Authorization: Digest" in wire.sent[4]


def test_login_and_redirect() -> None:
    _, wire = opened(
        answer(302, location="rtsps://other:1234/cam"),
        answer(401, challenges=(CHALLENGE,)),
        answer(body=SDP),
        SET_UP,
        answer(),
    )

    assert wire.hosts == [("host", 554, False), ("other", 1234, True)]
    assert 'username="joe"' in wire.sent[2]


@pytest.mark.parametrize(
    "answers",
    [
        [answer(body=b"v=0\r\nm=video 0 RTP/AVP 26\r\n")],
        [answer(body=SDP), answer(461)],
        [answer(body=SDP), answer(session="a", transport="RTP/AVP;unicast;client_port=1-2")],
    ],
    ids=["another codec", "no TCP", "another transport"],
)
def test_what_is_for_another_client(answers: list[Answer]) -> None:
    with pytest.raises(NotSpoken):
        opened(*answers)


@pytest.mark.parametrize("answers", [[answer(404)], [answer(401)], [answer(302)] * 9])
def test_refusals(answers: list[Answer]) -> None:
    with pytest.raises(SourceError) as caught:
        opened(*answers)
    assert not isinstance(caught.value, NotSpoken)


@pytest.mark.parametrize("url", ["http://host/", "rtsp:///cam", "rtsp://host:99999/", ""])
def test_what_is_no_camera(url: str) -> None:
    with pytest.raises(SourceError):
        Target.of(url)
