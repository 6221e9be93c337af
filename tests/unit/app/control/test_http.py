"""The control server over a real socket."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from app.control.http import Verdict, serve
from app.control.options import HttpOptions
from app.observe.snapshot import ObservedSnapshot
from pipelines.errors import ConfigError
from tests.unit.app.observe.samples import snapshot

TOKEN = "c4nary-token"
YES = Verdict(True)


@dataclass
class Target:
    """An application that says what the test wants."""

    alive: Verdict = YES
    readiness: Verdict = YES
    startup: Verdict = YES
    seen: ObservedSnapshot = field(default_factory=snapshot)
    woken: list[tuple[str, float]] = field(default_factory=list)

    def live(self) -> Verdict:
        return self.alive

    def ready(self) -> Verdict:
        return self.readiness

    def started(self) -> Verdict:
        return self.startup

    def observe(self) -> ObservedSnapshot:
        return self.seen

    def wake(self, camera: str, seconds: float) -> bool:
        self.woken.append((camera, seconds))
        return camera in self.seen.cameras


async def get(
    path: str, target: Target | None = None, options: HttpOptions | None = None, method: str = "GET", **headers: str
) -> tuple[int, Any]:
    async with (
        serve(options or HttpOptions(port=0), target or Target()) as port,
        aiohttp.request(method, f"http://127.0.0.1:{port}{path}", headers=headers) as response,
    ):
        is_json = response.content_type == "application/json"
        return response.status, await (response.json() if is_json else response.text())


async def test_probes_say_yes() -> None:
    for path in ("/live", "/ready", "/startup"):
        assert await get(path) == (200, {"ok": True, "reasons": []})


@pytest.mark.parametrize(("path", "attribute"), [("/live", "alive"), ("/ready", "readiness"), ("/startup", "startup")])
async def test_each_probe_says_no_with_its_reasons(path: str, attribute: str) -> None:
    target = Target()
    setattr(target, attribute, Verdict(False, ("no worker is attached", "draining")))

    assert await get(path, target) == (503, {"ok": False, "reasons": ["no worker is attached", "draining"]})


async def test_metrics_and_report_and_states() -> None:
    status, text = await get("/metrics")
    assert status == 200
    assert 'framegate_packets_total{camera="door"} 10.0' in text

    status, report = await get("/report")
    assert (status, report["cameras"]["door"]["packets"]) == (200, 10)

    status, states = await get("/cameras")
    assert status == 200
    assert {name: camera["state"] for name, camera in states["cameras"].items()} == {"door": "live", "yard": "backoff"}

    assert (await get("/cameras/yard"))[1]["reason"] == "connection refused"
    status, told = await get("/workers")
    assert (status, told["workers"]["worker"]["flow"]["state"]) == (200, "busy")
    assert await get("/cameras/none") == (404, {"error": "no such camera"})


async def test_nothing_can_be_changed() -> None:
    assert (await get("/cameras", method="POST"))[0] == 405


async def test_the_token_guards_everything_but_the_bare_probes() -> None:
    options = HttpOptions(host="0.0.0.0", port=0, token=SecretStr(TOKEN))
    target = Target(readiness=Verdict(False, ("camera door is stalled",)))

    for path in ("/metrics", "/report", "/workers", "/cameras", "/cameras/door", "/nothing"):
        status, body = await get(path, target, options)
        assert (path, status) == (path, 401)
        assert TOKEN not in str(body)
        assert (await get(path, target, options, Authorization="Bearer wrong"))[0] == 401
        assert (await get(path, target, options, Authorization=f"Bearer {TOKEN}"))[0] in (200, 404)

    assert await get("/ready", target, options) == (503, {"ok": False})
    assert (await get("/ready", target, options, Authorization=f"Bearer {TOKEN}"))[1]["reasons"]


async def test_beyond_loopback_a_token_is_required() -> None:
    with pytest.raises(ConfigError, match=r"http\.token is required"):
        await get("/live", options=HttpOptions(host="0.0.0.0", port=0))


async def test_a_taken_port_is_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"cannot listen on 127\.0\.0\.1:{port} .*choose another port"):
            await get("/live", options=HttpOptions(port=port))


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert HttpOptions(host=host).loopback is loopback


def test_the_token_is_not_shown() -> None:
    options = HttpOptions(token=SecretStr(TOKEN))

    assert TOKEN not in f"{options!r} {options} {options.model_dump()} {options.model_dump_json()}"


async def test_an_external_event_wakes_a_camera() -> None:
    target = Target()
    camera = next(iter(target.seen.cameras))
    assert (await get(f"/cameras/{camera}/wake?seconds=30", target, method="POST"))[0] == 200
    assert target.woken == [(camera, 30.0)]
    assert (await get("/cameras/nobody/wake", target, method="POST"))[0] == 404
    for seconds in ("0", "-1", "1e9", "nan", "soon"):
        assert (await get(f"/cameras/{camera}/wake?seconds={seconds}", target, method="POST"))[0] == 400
