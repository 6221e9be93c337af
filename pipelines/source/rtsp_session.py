"""Opening and keeping an RTSP session: DESCRIBE, SETUP, PLAY, keep-alive, TEARDOWN (RFC 2326)."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit, urlunsplit

from pipelines.errors import SourceError
from pipelines.source.rtsp_auth import Login
from pipelines.source.rtsp_wire import Answer, Wire
from pipelines.source.sdp import Video, first_video

PORTS = {"rtsp": 554, "rtsps": 322}
_AGENT = "Framegate"
_MOST_REDIRECTS = 3
_NOW_S = 0.0
_KEEP_ALIVE_S = 60.0
"""RFC 2326 12.37: where a server names no timeout."""


class NotSpoken(SourceError):
    """The camera wants something that this client does not speak; another client may."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect, and what to ask for."""

    host: str
    port: int
    secure: bool
    url: str
    """Without user and password."""
    user: str
    password: str

    @staticmethod
    def of(url: str) -> Target:
        """Raises SourceError for what is no RTSP URL."""
        try:
            parts = urlsplit(url)
            port = parts.port or PORTS[parts.scheme]
        except (ValueError, KeyError):
            raise SourceError("not an rtsp:// or rtsps:// URL") from None
        if not parts.hostname:
            raise SourceError("the URL names no host")
        bare = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))
        secure = parts.scheme == "rtsps"
        return Target(parts.hostname, port, secure, bare, unquote(parts.username or ""), unquote(parts.password or ""))


class RtspSession:
    """One camera's session. One thread; `wire.interrupt` from any. Blocks in `open` and `close` only."""

    def __init__(self, wire: Wire, tls: Callable[[], ssl.SSLContext]) -> None:
        """tls: asked where the URL says rtsps; reading the system's certificates takes tens of milliseconds."""
        self.wire = wire
        self._tls = tls
        self._login = Login("", "")
        self._cseq = 0
        self._session = ""
        self._url = ""
        self._ping = "OPTIONS"
        self._ping_every_s = _KEEP_ALIVE_S / 2
        self._ping_due_s = 0.0
        self._renewed = False
        """Since the last regular keep-alive the login was renewed."""
        self.channel = 0

    def open(self, url: str, deadline_s: float) -> Video:
        """Connect, log in, set up the first video, play.

        Raises:
            SourceError, OSError: with the reason.
            NotSpoken: the camera is there and wants more than this client can.
        """
        target = Target.of(url)
        for _ in range(_MOST_REDIRECTS):
            self._login = Login(target.user, target.password)
            self.wire.connect(target.host, target.port, self._tls() if target.secure else None, deadline_s)
            answer = self._ask("DESCRIBE", target.url, deadline_s, "Accept: application/sdp\r\n")
            if answer.status not in (301, 302, 303, 305, 307, 308):
                return self._set_up(target.url, answer, deadline_s)
            moved = Target.of(answer.headers.get("location", ""))
            target = moved if moved.user else _with_user(moved, target)
            self.wire.close()
        raise SourceError("redirected too often")

    def _set_up(self, url: str, described: Answer, deadline_s: float) -> Video:
        _check(described)
        video = first_video(described.body.decode("utf-8", "replace"))
        if video is None:
            raise NotSpoken("no H.264 or H.265 video that is described plainly")
        base = described.headers.get("content-base") or described.headers.get("content-location") or url
        wanted = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
        answer = self._ask("SETUP", _control(base, video.control), deadline_s, wanted)
        if answer.status in (404, 459, 461):
            raise NotSpoken(f"{answer.status} {answer.reason}")
        _check(answer)
        self._note_session(answer)
        self._url = url if base == url else base
        _check(self._ask("PLAY", self._url, deadline_s, "Range: npt=0.000-\r\n"))
        self._ping_due_s = time.monotonic() + self._ping_every_s
        return video

    def _note_session(self, answer: Answer) -> None:
        self._session, _, parameters = answer.headers.get("session", "").partition(";")
        name, _, value = parameters.partition("=")
        if name.strip() == "timeout" and value.strip().isdecimal():
            self._ping_every_s = max(1.0, int(value) / 2)
        transport = answer.headers.get("transport", "")
        channels = transport.partition("interleaved=")[2].partition("-")[0].partition(";")[0]
        if "TCP" not in transport.upper() or (channels and not channels.isdecimal()):
            raise NotSpoken(f"transport {transport or 'not named'}")
        self.channel = int(channels or 0)

    def keep_alive(self, now_s: float) -> None:
        """Call often: tells the server now and then that somebody is there. Its answer is not waited for."""
        if now_s >= self._ping_due_s:
            self._renewed = self._ping_due_s == _NOW_S
            self._ping_due_s = now_s + self._ping_every_s
            self.wire.send(self._request(self._ping, self._url, ""))

    def hear(self, answer: Answer) -> None:
        """What the server says while it plays: where the login has run out it is renewed, once per keep-alive."""
        if answer.status == 401 and not self._renewed and self._login.challenged(answer.challenges):
            self._ping_due_s = _NOW_S

    def close(self) -> None:
        """Say goodbye, as far as that does not wait."""
        if self._session and not self.wire.interrupted:
            self.wire.silence(0.2)
            with contextlib.suppress(OSError, SourceError):
                self.wire.send(self._request("TEARDOWN", self._url, ""))
        self.wire.close()

    def _ask(self, method: str, url: str, deadline_s: float, extra: str = "") -> Answer:
        answer = self._once(method, url, deadline_s, extra)
        if answer.status == 401 and self._login.challenged(answer.challenges):
            answer = self._once(method, url, deadline_s, extra)
        return answer

    def _once(self, method: str, url: str, deadline_s: float, extra: str) -> Answer:
        self.wire.timeout(deadline_s)
        self.wire.send(self._request(method, url, extra))
        while True:
            answer = self.wire.answer(deadline_s)
            if answer.headers.get("cseq", str(self._cseq)) == str(self._cseq):
                return answer

    def _request(self, method: str, url: str, extra: str) -> bytes:
        self._cseq += 1
        login = self._login.header(method, url)
        lines = f"{method} {url} RTSP/1.0\r\nCSeq: {self._cseq}\r\nUser-Agent: {_AGENT}\r\n{extra}"
        lines += f"Session: {self._session}\r\n" if self._session else ""
        lines += f"Authorization: {login}\r\n" if login else ""
        return f"{lines}\r\n".encode()


def _with_user(target: Target, other: Target) -> Target:
    return Target(target.host, target.port, target.secure, target.url, other.user, other.password)


def _control(base: str, control: str) -> str:
    """RFC 2326 C.1.1, as servers mean it: what is relative is appended to the base."""
    if not control or control == "*":
        return base
    if "://" in control:
        return control
    return base + ("" if base.endswith("/") else "/") + control.lstrip("/")


def _check(answer: Answer) -> None:
    if not 200 <= answer.status < 300:
        raise SourceError(f"the camera answers {answer.status} {answer.reason}".rstrip())
