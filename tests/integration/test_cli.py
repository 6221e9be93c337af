"""The command itself: what it refuses and how it says so, what signals do, what it writes, that it keeps secrets."""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from app.cli import main
from app.exit_code import ExitCode
from tests.fakes.rtsp_clips import write_clip
from tests.fakes.rtsp_server import RtspServer
from tests.fakes.scene import Scene, clip
from tests.integration.command import Command, deployment, framegate, short_tmp
from tests.integration.load import looped
from tests.integration.pipe import until
from tests.integration.test_end_to_end import OPEN_GATES, folded
from tests.integration.test_rtsp_faults import says
from tests.servers.process import free_port
from tests.unit.app.config.test_mistakes import MISTAKES

CANARY = "c4nary-Passw0rd"
FAR_AWAY = {"type": "kafka", "servers": ["127.0.0.1:9"]}
"""Nobody listens there: its records wait."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


# --- check ---------------------------------------------------------------------------------------------------------


def test_check_names_file_line_key_and_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "deployment.yaml"
    assert len(MISTAKES) >= 15
    for name, mistake in MISTAKES.items():
        path.write_text(mistake.text)
        assert main(["check", str(path)]) == 2, name
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"{path}:{mistake.line}: {mistake.key}"), name
        assert len(err.removeprefix(f"{path}:{mistake.line}: {mistake.key}").split()) >= 4, f"{name}: no sentence"


async def test_check_in_a_shell(tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.yaml", tmp_path / "good.yaml"
    bad.write_text(MISTAKES["unknown key"].text)
    good.write_text("cameras:\n  door:\n    url: rtsp://10.0.0.1/live\n")
    async with framegate(tmp_path, "check", bad) as command:
        assert await command.ended() == 2
        assert command.stderr.startswith(f"{bad}:4: cameras.door.analize_fps: unknown key; did you mean `analyse_fps`")
        assert len(command.stderr.splitlines()) == 1
    async with framegate(tmp_path, "check", good) as command:
        assert await command.ended() == 0
        assert command.stdout == f"{good}: sound, 1 cameras, 0 sinks\n"
    async with framegate(tmp_path, "run", bad) as command:
        assert await command.ended() == 2
        assert command.stderr.startswith(f"{bad}:4: cameras.door.analize_fps: ")


# --- it cannot run -------------------------------------------------------------------------------------------------


async def refused(tmp_path: Path, path: Path) -> Command:
    """Run what cannot run; its end."""
    async with framegate(tmp_path, "run", path) as command:
        await command.ended(60)
    assert "Traceback" not in command.stderr
    return command


async def test_a_port_that_is_taken_is_said_so(tmp_path: Path, small: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = await refused(
            tmp_path, deployment(tmp_path, {"cameras": looped(small, 1), "http": {"enabled": True, "port": port}})
        )
    assert command.exit_code == ExitCode.CONFIG
    last = command.stderr.splitlines()[-1]
    assert last.startswith(f"http: cannot listen on 127.0.0.1:{port} (")
    assert last.endswith("address already in use): choose another port")


@pytest.mark.parametrize("which", ["detector", "presence"])
async def test_a_model_that_is_none_ends_the_process(which: str, tmp_path: Path, small: Path) -> None:
    """No crash loop: a model that cannot be loaded now cannot be loaded in a second either."""
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"this is no model")
    camera = looped(small, 1, presence={"enabled": which == "presence"})
    command = await refused(tmp_path, deployment(tmp_path, {"cameras": camera, "model": {which: str(broken)}}))
    assert command.exit_code == ExitCode.MODEL
    assert len(command.events("worker.process.started")) == 1
    sentences = [line for line in command.stderr.splitlines() if line.startswith("framegate: ")]
    assert all(str(broken) in sentence for sentence in sentences)
    assert "Protobuf parsing failed" in sentences[0], "of the process that tried to load it"


async def test_a_report_that_cannot_be_written_is_said_before_the_run(tmp_path: Path, small: Path) -> None:
    config = deployment(tmp_path, {"cameras": looped(small, 1)})
    async with framegate(tmp_path, "run", config, "--report", tmp_path / "none" / "report.json") as command:
        assert await command.ended() == ExitCode.CONFIG
    assert (
        command.stderr
        == f"--report {tmp_path}/none/report.json: there is no such directory; make it, or name another\n"
    )


async def test_a_model_that_is_not_there_is_a_mistake_of_the_file(tmp_path: Path, small: Path) -> None:
    path = deployment(tmp_path, {"cameras": looped(small, 1), "model": {"detector": "./none.onnx"}})
    command = await refused(tmp_path, path)
    assert command.exit_code == 2
    assert "model.detector: the model file ./none.onnx does not exist" in command.stderr


async def test_a_socket_path_that_is_too_long_is_said_so(tmp_path: Path, small: Path) -> None:
    deep = tmp_path / ("x" * 60)
    deep.mkdir()
    for config, env in (
        ({"worker": {"socket": str(deep / "worker.sock")}}, {}),
        ({"worker": {"engine": "null"}}, {"TMPDIR": str(deep)}),
    ):
        path = deployment(tmp_path, {"cameras": looped(small, 1)} | config)
        async with framegate(tmp_path, "run", path, env=env) as command:
            assert await command.ended(60) == ExitCode.CONFIG
        assert "is too long for a Unix socket: name a shorter one" in command.stderr
        assert "Traceback" not in command.stderr
    async with framegate(tmp_path, "worker", "--socket", deep / ("y" * 60)) as command:
        assert await command.ended(60) == ExitCode.FAILED
    assert command.stderr.splitlines()[-1].startswith("framegate: cannot listen on")
    assert "Traceback" not in command.stderr


# --- signals -------------------------------------------------------------------------------------------------------


def accounts(path: Path) -> dict[str, Any]:
    """The report's cameras, all of them settled or in flight."""
    cameras: dict[str, Any] = json.loads(path.read_text())["cameras"]
    for camera in cameras.values():
        assert camera["imbalance"] == 0
        assert camera["packets"] == sum(camera["outcomes"].values()) + camera["in_flight"]
    return cameras


async def test_sigterm_drains_and_reports(tmp_path: Path, small: Path) -> None:
    report = tmp_path / "report.json"
    sink = {"file": {"type": "jsonl", "path": str(tmp_path / "a.jsonl"), "detections_path": str(tmp_path / "d.jsonl")}}
    config = deployment(tmp_path, {"cameras": looped(small, 2, analyse_fps=0), "sinks": sink})
    async with framegate(tmp_path, "run", config, "--report", report) as command:
        await command.said("camera.state", state="live", times=2)
        await until(lambda: (tmp_path / "d.jsonl").exists(), what="a frame with its detections")
        command.signal(signal.SIGTERM)
        assert await command.ended() == 0
    cameras = accounts(report)
    assert len(cameras) == 2
    assert all(camera["in_flight"] == 0 and camera["state"] == "stopped" for camera in cameras.values())
    inferred = sum(camera["outcomes"]["inferred"] for camera in cameras.values())
    assert len((tmp_path / "d.jsonl").read_text().splitlines()) == inferred, "every answered frame was delivered"
    assert command.events("worker.stopped"), "the worker was stopped, not killed"


async def test_ctrl_c_leaves_the_worker_to_its_owner(tmp_path: Path) -> None:
    """The terminal tells every process of the group. The worker goes on until the DPU process has no use for it, here
    until a broker that is away has been given its time; it is not stopped and started meanwhile."""
    report, scene = tmp_path / "report.json", Scene(seconds=4, width=640, height=360)
    config = deployment(
        tmp_path,
        {
            "model": {"detector": str(folded(tmp_path, scene.wh))},
            "worker": {"threads": 1},
            "cameras": looped(clip(scene).path, 1, **OPEN_GATES),
            "sinks": {"away": FAR_AWAY},
            "drain_s": 3,
        },
    )
    async with framegate(tmp_path, "run", config, "--report", report) as command:
        await command.said("camera.state", state="live")
        await until(lambda: waiting_alerts(command, report) > 0, what="an alert that waits for the broker")
        command.interrupt()
        assert await command.ended() == 0
    assert len(command.events("worker.process.started")) == 1
    assert command.events("worker.process.died") == []
    assert command.events("stopped")[0]["time"] < command.events("worker.stopped")[0]["time"]
    assert "KeyboardInterrupt" not in command.stderr


async def test_the_second_signal_does_not_wait(tmp_path: Path) -> None:
    """The broker is away and the drain may take a minute: who asks twice, means now. The account is whole all the
    same."""
    report, scene = tmp_path / "report.json", Scene(seconds=4, width=640, height=360)
    config = deployment(
        tmp_path,
        {
            "model": {"detector": str(folded(tmp_path, scene.wh))},
            "worker": {"threads": 1},
            "cameras": looped(clip(scene).path, 1, **OPEN_GATES),
            "sinks": {"away": FAR_AWAY},
            "drain_s": 120,
        },
    )
    async with framegate(tmp_path, "run", config, "--report", report) as command:
        await command.said("camera.state", state="live")
        await until(lambda: waiting_alerts(command, report) > 0, what="an alert that waits for the broker")
        command.signal(signal.SIGTERM)
        await command.said("stopping")
        with pytest.raises(TimeoutError):
            await command.ended(1.5)
        began = time.monotonic()
        command.signal(signal.SIGTERM)
        assert await command.ended() == 0
        assert time.monotonic() - began < 10
    assert all(camera["in_flight"] == 0 for camera in accounts(report).values())
    assert json.loads(report.read_text())["sinks"]["away"]["waiting"] > 0


def waiting_alerts(command: Command, report: Path) -> int:
    """Asks for a report and reads the last one there is."""
    command.signal(signal.SIGUSR1)
    return int(json.loads(report.read_text())["sinks"]["away"]["waiting"]) if report.exists() else 0


async def test_sigusr1_writes_the_report_so_far(tmp_path: Path, small: Path) -> None:
    report = tmp_path / "report.json"
    config = deployment(tmp_path, {"cameras": looped(small, 1, analyse_fps=0)})
    async with framegate(tmp_path, "run", config, "--report", report) as command:
        await command.said("camera.state", state="live")
        command.signal(signal.SIGUSR1)
        await until(report.exists, what="the report")
        first = accounts(report)["file0"]
        assert first["state"] == "live"

        def grown() -> bool:
            command.signal(signal.SIGUSR1)
            return bool(accounts(report)["file0"]["packets"] > first["packets"])

        await until(grown, what="a later report")
        command.signal(signal.SIGTERM)
        assert await command.ended() == 0


async def test_sigusr1_without_a_report_does_no_harm(tmp_path: Path, small: Path) -> None:
    """The signal's default is to kill."""
    config = deployment(tmp_path, {"cameras": looped(small, 1)})
    async with framegate(tmp_path, "run", config) as command:
        await command.said("camera.state", state="live")
        command.signal(signal.SIGUSR1)
        command.signal(signal.SIGHUP)
        await command.said("reload.done")
        command.signal(signal.SIGTERM)
        assert await command.ended() == 0


async def test_sighup_restarts_only_what_changed(tmp_path: Path, small: Path) -> None:
    report = tmp_path / "report.json"
    cameras = looped(small, 3)
    config = deployment(tmp_path, {"cameras": cameras})

    def changed(**entries: object) -> None:
        deployment(tmp_path, {"cameras": {k: v for k, v in (cameras | entries).items() if v is not None}})

    async with framegate(tmp_path, "run", config, "--report", report) as command:
        await command.said("camera.state", state="live", times=3)
        changed(file1=cameras["file1"] | {"analyse_fps": 1.0}, file2=None, new=cameras["file2"])
        command.signal(signal.SIGHUP)
        done = await command.said("reload.done")
        assert {key: done[key] for key in ("started", "stopped", "replaced", "needs_restart")} == {
            "started": ["new"], "stopped": ["file2"], "replaced": ["file1"], "needs_restart": [],
        }  # fmt: skip
        await command.said("camera.state", camera="new", state="live")
        await command.said("camera.state", camera="file1", state="live", times=2)

        config.write_text(config.read_text().replace("analyse_fps", "analize_fps"))
        command.signal(signal.SIGHUP)
        no = await command.said("reload.refused")
        assert "did you mean `analyse_fps`" in no["problems"][0]

        changed()
        command.signal(signal.SIGHUP)
        await command.said("camera.state", camera="file2", state="live", times=2)
        command.signal(signal.SIGTERM)
        assert await command.ended() == 0
    opened = [(e["camera"], e["state"]) for e in command.events("camera.state") if e["state"] == "connecting"]
    assert {name: opened.count((name, "connecting")) for name in ("file0", "file1", "file2", "new")} == {
        "file0": 1, "file1": 3, "file2": 2, "new": 1,
    }  # fmt: skip
    assert len(command.events("worker.process.started")) == 1
    assert set(accounts(report)) == {"file0", "file1", "file2", "new"}, "an account outlives its camera"


async def test_no_library_keeps_files_or_calls_home(tmp_path: Path, small: Path) -> None:
    """onnxruntime would, in both processes."""
    camera = looped(small, 1, presence={"enabled": True})
    config = deployment(tmp_path, {"cameras": camera, "worker": {"engine": "onnx", "threads": 1}})
    with short_tmp() as home:
        env = {name: str(home) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
        async with framegate(tmp_path, "run", config, env=env) as command:
            await command.said("camera.state", state="live")
            command.signal(signal.SIGTERM)
            assert await command.ended() == 0
        assert list(home.rglob("*")) == []


# --- secrets -------------------------------------------------------------------------------------------------------


async def test_no_secret_gets_out(tmp_path: Path) -> None:
    """One canary is every password: in a URL, in the environment, in a file, as a token, for a broker."""
    scene, port, report = Scene(seconds=4, width=640, height=360), free_port(), tmp_path / "report.json"
    (tmp_path / "pw").write_text(CANARY + "\n")
    with RtspServer(says("401 Unauthorized")) as camera:
        config = deployment(
            tmp_path,
            {
                "model": {"detector": str(folded(tmp_path, scene.wh))},
                "worker": {"threads": 1},
                "defaults": {"backoff": {"first_s": 0.05, "max_s": 0.05}},
                "cameras": {
                    "inline": {"url": camera.url(userinfo=f"joe:{CANARY}@")},
                    "query": {"url": camera.url(f"/live?user=joe&password={CANARY}")},
                    "environment": {"url": camera.url(), "username": "joe", "password": "${CAMERA_PASSWORD}"},
                    "file": {"url": camera.url(), "username": "joe", "password_file": "pw"},
                    "gone": {"url": f"rtsp://joe:{CANARY}@127.0.0.1:9/live"},
                    **looped(clip(scene).path, 1, **OPEN_GATES),
                },
                "http": {"enabled": True, "port": port, "token": CANARY},
                "log": {"level": "debug"},
                "sinks": {
                    "kafka": FAR_AWAY | {"sasl_mechanism": "PLAIN", "username": "joe", "password": CANARY},
                    "mqtt": {"type": "mqtt", "host": "127.0.0.1", "port": 9, "username": "joe", "password": CANARY},
                    "lines": {
                        "type": "jsonl",
                        "path": str(tmp_path / "alerts.jsonl"),
                        "health_path": str(tmp_path / "health.jsonl"),
                        "detections_path": str(tmp_path / "detections.jsonl"),
                    },
                },
            },
        )
        async with framegate(tmp_path, "run", config, "--report", report, env={"CAMERA_PASSWORD": CANARY}) as command:
            for name in ("inline", "query", "environment", "file", "gone"):
                await command.said("camera.state", camera=name, state="backoff", times=2)
            await until(lambda: (tmp_path / "alerts.jsonl").exists(), what="an alert")
            pages = await web_pages(port)
            worker = int(command.events("worker.process.started")[0]["text"].split()[-1])
            pages["the worker's arguments"] = Path(f"/proc/{worker}/cmdline").read_text()
            config.write_text(config.read_text().replace("first_s", "frist_s"))
            command.signal(signal.SIGHUP)
            await command.said("reload.refused")
            command.signal(signal.SIGTERM)
            assert await command.ended() == 0
    written = {path.name: path.read_text() for path in tmp_path.iterdir() if path.suffix == ".jsonl"}
    assert set(written) == {"alerts.jsonl", "health.jsonl", "detections.jsonl"}
    told = {"stdout": command.stdout, "stderr": command.stderr, "report": report.read_text()} | written | pages
    assert "401" in told["stderr"], "the cameras were asked, and refused"
    assert "joe" not in told["report"]
    assert [name for name, text in told.items() if CANARY in text] == []


async def web_pages(port: int) -> dict[str, str]:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {CANARY}"}) as client:
        pages = {}
        for path in ("/metrics", "/report", "/cameras", "/cameras/inline", "/ready", "/live", "/none"):
            async with client.get(f"http://127.0.0.1:{port}{path}") as answer:
                pages[path] = await answer.text()
        assert 'camera="inline"' in pages["/metrics"]
        return pages


async def test_check_keeps_secrets_too(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        yaml.safe_dump(
            {"cameras": {"a": {"url": f"rtsp://joe:{CANARY}@h/x", "password": [CANARY], "nonsense": CANARY}}}
        )
    )
    async with framegate(tmp_path, "check", path) as command:
        assert await command.ended() == 2
    assert "cameras.a.nonsense" in command.stderr
    assert CANARY not in command.stdout + command.stderr


def test_a_model_on_the_command_line_goes_before_the_configuration_s(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "framegate.yaml"
    config.write_text("http: {enabled: false}\ncameras: {a: {url: rtsp://127.0.0.1:9/x}}\n")
    assert main(["run", str(config), "--model", str(tmp_path / "mine.onnx")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("--model")
    assert "does not exist" in said
