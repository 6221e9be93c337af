"""Cameras that fail, each in its own way, beside cameras that work: the ones cost the others nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml

from app.dpu import Dpu
from pipelines.sink.memory import MemoryOptions, MemorySink
from pipelines.values import CameraState, FrameResult
from tests.fakes.rtsp_cameras import Cameras, rtsp_cameras
from tests.fakes.rtsp_clips import write_clip
from tests.fakes.rtsp_server import RtspServer, Session, nal_units
from tests.integration.load import LONG, NULL_WORKER, OPEN
from tests.integration.pipe import QUIET, Config, balanced, running, until
from tests.integration.test_rtsp_faults import (
    accepts_and_never_answers,
    drips_packets,
    drips_the_description,
    sends_garbage,
    silent,
)

pytestmark = pytest.mark.rtsp

HEALTHY = ("well0", "well1", "well2", "well3")
PHASE_S = 5.0
"""500 frames of the four healthy cameras: the p99 is the fifth worst."""
MOST_RATIO, LEAST_MS = 1.5, 20.0 if LONG else 100.0
"""The p99 may grow by half, or by so much where half is less than the noise of a machine that has other things to do. A
camera that holds others up does so for the length of a timeout: seconds."""
ATTEMPTS = 3
DEFAULTS: Config = OPEN | {
    "analyse_fps": 0,
    "rtsp": {"open_timeout_s": 1.5, "read_timeout_s": 10, "probe_s": 0.2},
    "watch": {"no_packet_timeout_s": 1.0, "no_frame_timeout_s": 2.0},
    "backoff": {"first_s": 0.3, "max_s": 0.3, "jitter": 0.0},
}


@dataclass(frozen=True)
class Clips:
    usual: Path
    other: Path


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    folder, options = tmp_path_factory.mktemp("clips"), {"g": "10", "bf": "0"}
    return Clips(
        usual=write_clip(folder / "usual.mp4", wh=(320, 192), options=options),
        other=write_clip(folder / "other.mp4", wh=(192, 112), options=options),
    )


@dataclass(frozen=True)
class Site:
    """Healthy cameras on one server, and beside them one camera of each kind of fault."""

    well: dict[str, str]
    faulty: dict[str, str]
    silent: RtspServer


@contextmanager
def site(clips: Clips, killed_url: str) -> Iterator[Site]:
    with ExitStack() as stack:
        resizing = f"{clips.usual}+{clips.other}"
        urls = stack.enter_context(rtsp_cameras(*[clips.usual] * len(HEALTHY), resizing)).urls
        quiet = stack.enter_context(RtspServer(after=silent))
        yield Site(
            well=dict(zip(HEALTHY, urls, strict=False)),
            faulty={
                "killed": killed_url,
                "resizing": urls[-1],
                "silent": quiet.url(),
                "mute": stack.enter_context(RtspServer(accepts_and_never_answers)).url(),
                "slow": stack.enter_context(RtspServer(drips_the_description)).url(),
                "dripping": stack.enter_context(RtspServer(after=drips_packets)).url(),
                "garbage": stack.enter_context(RtspServer(after=sends_garbage)).url(),
            },
            silent=quiet,
        )


def plays_on(session: Session) -> None:
    """A camera that has recovered: 25 pictures per second, for as long as the server lives."""
    server, number = session.server, len(session.server.pictures)
    while not server.closing.wait(0.04):
        for unit in nal_units(server.pictures[number % len(server.pictures)]):
            session.rtp(unit, number * 3600, marker=True)
        number += 1


class Watched:
    """A running pipe whose accounts are looked at all the time."""

    def __init__(self, dpu: Dpu, memory: MemorySink, directory: Path) -> None:
        self.dpu = dpu
        self.memory = memory
        self._path = directory / "framegate.yaml"

    async def cameras(self, urls: dict[str, str]) -> None:
        self._path.write_text(yaml.safe_dump(config_of(urls)))
        await self.dpu.reload()

    def states(self, camera: str) -> list[CameraState]:
        return [change.state for change in self.memory.changes if change.camera_id == camera]

    async def saw(self, camera: str, *wanted: CameraState, since: int = 0) -> None:
        """Wait until a camera's changes since a point contain these states, in this order, others between them."""

        def seen() -> bool:
            assert balanced(self.dpu)
            left = iter(self.states(camera)[since:])
            return all(state in left for state in wanted)

        await until(seen, 30, f"{camera}: {' '.join(wanted)}")

    async def p99_ms(self, camera_ids: tuple[str, ...], seconds: float) -> float:
        """arrival_to_result of these cameras' frames over the next seconds."""
        self.memory.results.clear()
        end = time.monotonic() + seconds
        await until(lambda: balanced(self.dpu) and time.monotonic() > end, seconds + 10)
        return p99_ms([result for result in self.memory.results if result.camera in camera_ids])


def config_of(urls: dict[str, str]) -> Config:
    cameras = {camera: {"url": url} for camera, url in urls.items()}
    return QUIET | {"worker": NULL_WORKER, "defaults": DEFAULTS, "cameras": cameras}


def p99_ms(results: list[FrameResult]) -> float:
    assert len(results) > 200, "too few frames to speak of a p99"
    elapsed_ns = [result.timeline.answered_ns - result.timeline.arrival_ns for result in results]
    return float(np.percentile(elapsed_ns, 99)) / 1e6


async def test_faulty_cameras_leave_the_others_alone(tmp_path: Path, clips: Clips) -> None:
    memory = MemorySink(MemoryOptions(results=100_000, health=100_000))
    with rtsp_cameras(clips.usual) as doomed, site(clips, doomed.urls[0]) as here:
        async with running(tmp_path, config_of(here.well), [memory]) as dpu:
            pipe = Watched(dpu, memory, tmp_path)
            for camera in HEALTHY:
                await pipe.saw(camera, CameraState.CONNECTING, CameraState.LIVE)
            await phases(pipe, here)
            await pipe.cameras(here.well | here.faulty)
            await faults_are_told(pipe, doomed, clips)
            await the_silent_camera_recovers(pipe, here)
            for camera in HEALTHY:
                assert pipe.states(camera) == [CameraState.CONNECTING, CameraState.LIVE], "never touched"
            for camera in here.faulty:
                assert_told_in_order(pipe.states(camera))
            sizes = {result.source_wh for result in memory.results if result.camera == "resizing"}
            assert sizes == {(320, 192), (192, 112)}
            assert CameraState.BACKOFF not in pipe.states("resizing"), "a change of size is no fault"


FOLLOWS = {
    CameraState.STALLED: {CameraState.BACKOFF, CameraState.STOPPED},
    CameraState.BACKOFF: {CameraState.CONNECTING, CameraState.STOPPED},
    CameraState.STOPPED: {CameraState.CONNECTING},
}


def assert_told_in_order(states: list[CameraState]) -> None:
    """A connection that stalled is given up once, and is over before the wait for the next."""
    for state, following in pairwise(states):
        assert following in FOLLOWS.get(state, set(CameraState)), [s.value for s in states]


async def phases(pipe: Watched, here: Site) -> None:
    """Alone, with the faulty ones, alone again: the machine may have got busier meanwhile, for reasons of its own."""
    pairs = []
    for _ in range(ATTEMPTS):
        before = await pipe.p99_ms(HEALTHY, PHASE_S / 2)
        await pipe.cameras(here.well | here.faulty)
        await pipe.saw("resizing", CameraState.LIVE)
        during = await pipe.p99_ms(HEALTHY, PHASE_S)
        await pipe.cameras(here.well)
        after = await pipe.p99_ms(HEALTHY, PHASE_S / 2)
        pairs.append((max(before, after), during))
        if during <= max(pairs[-1][0] * MOST_RATIO, pairs[-1][0] + LEAST_MS):
            return
    raise AssertionError(f"p99 of the healthy cameras, ms (without, with the faulty ones): {pairs}")


async def faults_are_told(pipe: Watched, doomed: Cameras, clips: Clips) -> None:
    connecting, live = CameraState.CONNECTING, CameraState.LIVE
    stalled, backoff = CameraState.STALLED, CameraState.BACKOFF
    since = {camera: len(pipe.states(camera)) for camera in pipe.dpu.cameras.pumps}
    await pipe.saw("mute", connecting, backoff, connecting, backoff)
    await pipe.saw("slow", connecting, backoff, connecting, backoff)
    for camera in ("silent", "dripping"):
        await pipe.saw(camera, connecting, live, stalled, backoff, connecting, live, stalled)
    await pipe.saw("garbage", connecting, live, backoff, connecting, live)
    await pipe.saw("killed", live)
    await asyncio.to_thread(kill, doomed)
    await pipe.saw("killed", backoff, connecting, backoff, since=since["killed"])
    with rtsp_cameras(clips.usual, "--port", str(doomed.port)):
        await pipe.saw("killed", backoff, connecting, live, since=since["killed"])


async def the_silent_camera_recovers(pipe: Watched, here: Site) -> None:
    here.silent.after = plays_on
    since = len(pipe.states("silent"))
    await pipe.saw("silent", CameraState.BACKOFF, CameraState.CONNECTING, CameraState.LIVE, since=since)
    settled = len(pipe.states("silent"))
    packets = pipe.dpu.cameras.ledgers()["silent"].packets
    more = packets + 100  # four seconds at 25 per second: longer than it was ever silent without being noticed
    await until(lambda: pipe.dpu.cameras.ledgers()["silent"].packets > more, what="a camera that plays on")
    assert pipe.states("silent")[settled:] == []


def kill(server: Cameras) -> None:
    server.process.kill()
    server.process.wait()
