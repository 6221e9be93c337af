"""A small run of the capacity bench: server, product, worker, truth. Says nothing of speed."""

from __future__ import annotations

import sys

import pytest

from scripts.bench.cameras_clip import Clip, clips
from scripts.bench.cameras_figures import figures, worst
from scripts.bench.cameras_run import Run, RunSpec, camera_id, rtsp_server, run
from scripts.bench.cameras_scene import timelines as sources
from scripts.bench.peers.run import PEERS, Peer, attempt
from scripts.bench.scenes.encoding import Recipe

CONTRACT = {
    "cameras", "carried", "result_ms", "wake_ms", "work_ms", "imbalance", "to_worker_of_due", "events", "event_recall",
    "cores", "server_cpu", "headroom",
}  # fmt: skip
CAMERAS, SECONDS = 4, 10.0


@pytest.fixture(scope="module")
def timelines(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    wanted = sources(2, 20.0, (640, 360))
    return clips(wanted, Recipe(rate="cbr", level=600), lambda text: None, tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def done(timelines: list[Clip]) -> Run:
    spec = RunSpec(CAMERAS, SECONDS, tuple(timelines), opens_per_s=8, settle_s=2, offset_s=5.0)
    return run(spec, lambda text: None)


def test_the_report_keeps_its_contract(done: Run) -> None:
    one, found = figures(done, 0.5)
    out = worst([one], found)
    assert out.keys() >= CONTRACT
    assert out["imbalance"] == out["left_in_flight"] == 0
    assert out["model"] == "detector_int8"
    assert out["result_ms"]["n"] > 0
    assert out["work_ms"]["p80"] > 0
    assert 0 < out["cores"] < 8
    assert out["server_cpu"] > 0


def test_every_answered_frame_is_known_by_its_picture(done: Run) -> None:
    assert done.frames
    for number in range(CAMERAS):
        truth = done.truths[camera_id(number)]
        assert truth.slips == 0, "over TCP nothing is lost"
        assert all(key.index >= 0 for key in truth.keys)
        assert all(lag_ms > 0 for lag_ms in truth.lags_ms(done.window.first_ns, done.window.last_ns))
    for frame in done.frames:
        session = done.truths[frame.camera].session(frame.sequence)
        assert session is not None
        assert session.sequence <= frame.sequence


def test_a_detection_is_near_an_event_of_its_timeline(done: Run) -> None:
    """The map from packets to pictures holds: what the product saw stands where the reference saw it."""
    hits = [frame for frame in done.frames if frame.top_score >= 0.7]
    assert hits
    inside = 0
    for frame in hits:
        index = done.truths[frame.camera].index(frame.sequence)
        clip = done.spec.clip_of(int(frame.camera.removeprefix("cam")))
        inside += any(event.first - 25 <= index <= event.last + 25 for event in clip.events)
    assert inside >= 0.9 * len(hits)


@pytest.mark.parametrize("peer", PEERS, ids=[peer.name for peer in PEERS])
def test_peers_count_frames(peer: Peer, timelines: list[Clip]) -> None:
    command, missing = peer.command()
    if missing:
        pytest.skip(missing)
    with rtsp_server(timelines, 1, 0.0) as (urls, server):
        assert attempt([*command, *urls], server, 25, settle_s=0.0, measure_s=4.0)["worst_share"] > 0


def test_a_peer_that_ends_by_itself_is_an_error(timelines: list[Clip]) -> None:
    with rtsp_server(timelines, 1, 0.0) as (_, server), pytest.raises(RuntimeError, match="ended by itself with 3"):
        attempt([sys.executable, "-c", "raise SystemExit(3)"], server, 25)
