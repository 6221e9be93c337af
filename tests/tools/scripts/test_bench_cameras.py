"""The capacity bench's arithmetic: truth by picture number, what counts as carried and as found, the search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench import cameras_index
from scripts.bench.cameras import broken
from scripts.bench.cameras_account import (
    Answered,
    Window,
    answered,
    latencies,
    not_carried,
    quantiles,
    seen,
    wilson,
)
from scripts.bench.cameras_clip import Clip, Event, events
from scripts.bench.cameras_figures import worst
from scripts.bench.cameras_machine import NOTHING, Reading, Usage, children, usage, used
from scripts.bench.cameras_run import merged
from scripts.bench.cameras_search import largest
from scripts.bench.cameras_truth import CameraTruth
from scripts.bench.peers.run import worst_share
from tests.fakes import sei

MS, S = 1_000_000, 1_000_000_000
FPS, GOP, FRAMES = 25, 50, 500
CLIP = Clip(Path("clip.h264"), FRAMES, FPS, (Event(100, 200),), 101)


def notes(packets: int = 2000, offset: int = 150, sessions: list[list[int]] | None = None) -> dict[str, Any]:
    """A camera whose first packet is picture `offset` of the clip, sent at 1 s; each is read 50 ms later."""
    keys = []
    for sequence in range(0, packets, GOP):
        sent_ns = S + sequence * 40 * MS
        keys.append([sequence, (sequence + offset) % FRAMES, sent_ns, sent_ns + 50 * MS, sequence * 10_000])
    return {"keys": keys, "sessions": sessions or [], "thread": 1}


def truth(**options: Any) -> CameraTruth:
    return CameraTruth(notes(**options), FRAMES, FPS)


def frame(sequence: int, score: float = 0.9, result_ms: float = 60.0, source: str = "gate") -> Answered:
    """Arrived 10 ms after it was sent."""
    return Answered("cam", sequence, S + sequence * 40 * MS + 10 * MS, score, source, {"answered": result_ms})


# --- numbers in the pictures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("codec", "slice_header"), [("h264", 0x65), ("h264", 0x41), ("hevc", 0x26), ("hevc", 0x02)])
def test_the_number_stands_before_the_first_slice_and_survives_a_stamp(codec: str, slice_header: int) -> None:
    parameters = b"\x00\x00\x00\x01" + {"h264": b"\x67\x11\x22", "hevc": b"\x40\x01\x22"}[codec]
    picture = parameters + b"\x00\x00\x00\x01" + bytes([slice_header, 0x01]) + bytes(range(1, 60))

    numbered = cameras_index.insert(picture, codec, 0x1A00)
    stamped = sei.insert(numbered, codec, 7, 8)

    assert cameras_index.read(numbered) == 0x1A00
    assert numbered.startswith(parameters)
    assert numbered.endswith(bytes(range(1, 60)))
    assert cameras_index.read(stamped) == 0x1A00
    assert sei.read(stamped) == (7, 8)
    assert cameras_index.read(picture) is None


def test_no_picture_no_number() -> None:
    with pytest.raises(ValueError, match="without a slice"):
        cameras_index.insert(b"\x00\x00\x00\x01\x67\x11", "h264", 1)


# --- truth -----------------------------------------------------------------------------------------------------------


def test_packets_are_found_by_picture_and_time() -> None:
    one = truth()
    assert one.plays(100, 0, 100 * S) == [450, 950, 1450, 1950]
    assert one.plays(100, one.sent_ns(450) + 1, one.sent_ns(1450)) == [950, 1450]
    assert one.sent_ns(451) == S + 451 * 40 * MS
    assert one.slips == 0
    assert [one.index(sequence) for sequence in (0, 349, 350, 451)] == [150, 499, 0, 101]


def test_a_lost_packet_shows() -> None:
    broken_notes = notes()
    for key in broken_notes["keys"][5:]:
        key[1] += 1
    assert CameraTruth(broken_notes, FRAMES, FPS).slips == 1


def test_a_picture_before_the_first_key_frame_of_the_window() -> None:
    one = truth(offset=0)
    assert one.plays(120, one.sent_ns(110), one.sent_ns(400)) == [120]


def test_quiet_groups_cost_what_the_thread_used() -> None:
    session = [120, 0, 0, 30]
    one = truth(packets=500, sessions=[session])
    costs = one.quiet_cost_us(0, 100 * S)
    assert costs == pytest.approx([10.0] * 8)
    assert len(costs) == len(one.keys) - 1 - 1, "the group in which something was decoded does not count"


# --- carried ---------------------------------------------------------------------------------------------------------


def report(packets: int, **outcomes: int) -> dict[str, Any]:
    return {"packets": packets, "outcomes": outcomes}


@pytest.mark.parametrize(
    ("last", "lags", "reason"),
    [
        (report(1000, asleep=800, paced=160, inferred=39, shed=1), [50.0], ""),
        (report(1000, asleep=800, paced=160, inferred=10, shed=30), [50.0], "of due frames: {'shed': 30}"),
        (report(960, asleep=960), [50.0], "960 packets read of 1000"),
        (report(1000, asleep=1000), [50.0, 1500.0], "lag up to 1500 ms"),
        (report(1000, asleep=800, late=3, paced=197), [], ""),
    ],
)
def test_what_counts_as_carried(last: dict[str, Any], lags: list[float], reason: str) -> None:
    said = not_carried(report(0), last, lags, 1000)
    assert said == "" if not reason else reason in said


# --- latency ---------------------------------------------------------------------------------------------------------


def test_latencies_are_told_apart_by_what_the_camera_did_on_arrival() -> None:
    woke_ns = S + 100 * 40 * MS + 60 * MS
    sessions = [[100, woke_ns, woke_ns + 100 * MS, 40], [600, 40 * S, 40 * S, 1]]
    frames = [frame(100, result_ms=230), frame(102, result_ms=140), frame(110), frame(600)]

    out = latencies(frames, {"cam": truth(sessions=sessions)})

    assert out.wake == [230.0]
    assert out.catching_up == [140.0]
    assert out.result == [60.0]
    assert out.sent_to_result == [70.0]
    assert len(out.work) == 4, "the glance too"


def test_work_is_what_is_not_waiting() -> None:
    stages = {"read": 5.0, "decoded": 9.0, "gated": 10.0, "published": 11.0, "taken": 21.0, "started": 24.0}
    record = {
        "camera_id": "cam",
        "frame": 3,
        "time": 2000,
        "scores": [0.4, 0.7],
        "source": "gate",
        "timeline_ms": stages | {"finished": 30.0, "answered": 33.0},
    }
    one = answered(record, Window(0, S, wall_ns=500 * MS))
    assert one.arrival_ns == 1500 * MS
    assert one.top_score == 0.7
    assert one.work_ms == pytest.approx(4 + 1 + 1 + 6)
    assert one.result_ms == 33.0


def test_quantiles_are_ranks() -> None:
    assert quantiles([float(n) for n in range(1, 101)], 50, 99, 100) == {
        "p50": 50.0,
        "p99": 99.0,
        "p100": 100.0,
        "n": 100,
    }
    assert quantiles([], 50) == {"n": 0}


# --- events ----------------------------------------------------------------------------------------------------------

AWAKE = [[0, 0, 1, 10_000]]
WHOLE = Window(0, 37 * S, 0)


@pytest.mark.parametrize(
    ("sequences", "score", "by"),
    [((455,), 0.9, "gate"), ((462,), 0.9, "gate"), ((463,), 0.9, ""), ((440,), 0.9, "gate"), ((455,), 0.5, "")],
)
def test_an_event_is_found_within_half_a_second(sequences: tuple[int, ...], score: float, by: str) -> None:
    found = seen("cam", CLIP, truth(packets=900, sessions=AWAKE), [frame(s, score) for s in sequences], WHOLE, 0.6)
    assert [one.by for one in found] == [by]
    assert found[0].sequence == 450


def test_what_a_heartbeat_or_the_audit_found_is_told_apart() -> None:
    glance, woken = [450, 0, 0, 1], [460, 0, 1, 400]
    one = truth(packets=900, sessions=[[0, 0, 1, 300], glance, woken])
    assert [e.by for e in seen("cam", CLIP, one, [frame(450)], WHOLE, 0.6)] == ["heartbeat"]
    assert [e.by for e in seen("cam", CLIP, one, [frame(461)], WHOLE, 0.6)] == ["heartbeat"]
    awake = truth(packets=900, sessions=AWAKE)
    assert [e.by for e in seen("cam", CLIP, awake, [frame(455, source="audit")], WHOLE, 0.6)] == ["audit"]


def test_a_miss_says_what_the_camera_did() -> None:
    one = truth(packets=900, sessions=[[0, 0, 1, 300], [500, 0, 1, 200]])
    (missed,) = seen("cam", CLIP, one, [], WHOLE, 0.6)
    assert missed.why == "last woken -18.0 s, decoded 300 packets; next woken +2.0 s"


def test_runs_of_detections_are_events() -> None:
    hits = [False] * 500
    for run in (range(50, 100), range(120, 150), range(300, 303), range(400, 410)):
        for number in run:
            hits[number] = True
    assert events(hits, FPS) == (Event(50, 149), Event(400, 409))


def test_the_interval_of_a_share() -> None:
    low, high = wilson(300, 300)
    assert 0.987 < low < 0.9875
    assert high == pytest.approx(1.0)
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)


# --- machine, search, peers ------------------------------------------------------------------------------------------


def test_cores_between_two_readings() -> None:
    first = Reading(0, 100.0, 50.0, {"dpu": Usage(10, 0, 0, 0), "server": Usage(1, 0, 0, 0)})
    last = Reading(10 * S, 120.0, 54.0, {"dpu": Usage(20, 0, 0, 0), "server": Usage(4, 0, 0, 0)})
    out = used(first, last)
    assert out.cores == {"dpu": 1.0, "server": 0.3}
    assert out.headroom == pytest.approx(0.2)
    assert out.others == pytest.approx(0.3)


def test_usage_of_a_process_that_is_gone() -> None:
    assert usage(2**22 + 1) == NOTHING
    assert children(2**22 + 1) == []
    assert usage(1).threads > 0 or usage(1) == NOTHING


@given(st.integers(0, 40), st.integers(1, 60), st.integers(1, 4))
def test_the_search_finds_the_edge_with_few_tries(edge: int, guess: int, step: int) -> None:
    asked: list[int] = []

    def fits(n: int) -> bool:
        asked.append(n)
        return n <= edge

    found = largest(fits, 1, 1 + 32 // step * step, guess, step)
    tried = range(1, 34, step)
    assert found == max([n for n in tried if n <= edge and n <= 1 + 32 // step * step], default=1 - step)
    assert len(asked) == len(set(asked)) <= 12
    assert set(asked) <= set(tried)


def test_a_peer_is_as_good_as_its_worst_camera() -> None:
    lines = [{"at_ns": 0, "frames": [10, 10]}, {"at_ns": 10 * S, "frames": [260, 210]}]
    assert worst_share(lines, 25) == pytest.approx(0.8)
    assert worst_share(lines[:1], 25) == 0.0


def figures(**changed: Any) -> dict[str, Any]:
    base = {
        "cameras": 4,
        "carried": 4,
        "not_carried": {},
        "imbalance": 0,
        "headroom": 0.3,
        "to_worker_of_due": None,
        "cores": 1.0,
        "server_cpu": 0.1,
        "rss_mb": {"most": 300.0},
        "result_ms": {"p80": 60.0, "p99": 100.0, "n": 10},
        "sent_to_result_ms": {"n": 0},
        "wake_ms": {"n": 0},
        "work_ms": {"p80": 20.0},
    }
    return base | changed


def test_several_runs_are_as_good_as_the_worst() -> None:
    other = figures(carried=3, not_carried={"cam": "late"}, imbalance=2, result_ms={"p80": 90.0, "p99": 99.0, "n": 5})
    out = worst([figures(), other], [])
    assert (out["carried"], out["imbalance"], out["not_carried"]) == (3, 2, {"cam": "late"})
    assert out["result_ms"] == {"p80": 90.0, "p99": 100.0, "n": 10}
    assert (out["events"], out["event_recall"]) == (0, None)
    assert broken(figures()) == []
    assert broken(out) == ["carried 3 of 4", "imbalance 2", "result p80 90 > 87 ms"]


def test_settings_are_laid_over_others() -> None:
    assert merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"c": 4}, "d": {"e": 5}}) == {
        "a": {"b": 1, "c": 4},
        "d": {"e": 5},
    }
