from __future__ import annotations

from pipelines.source.watch import StreamWatch, WatchOptions
from pipelines.values import CameraState

S = 1_000_000_000
OPTIONS = WatchOptions(no_packet_timeout_s=5, no_frame_timeout_s=10)


def test_connecting_until_the_first_packet() -> None:
    watch = StreamWatch(0, OPTIONS)

    assert watch.tick(S, decoding=True).state is CameraState.CONNECTING
    watch.packet(2 * S)
    assert watch.tick(2 * S, decoding=True).state is CameraState.LIVE


def test_connected_but_silent_is_stalled() -> None:
    watch = StreamWatch(0, OPTIONS)
    watch.packet(S)

    assert watch.tick(6 * S - 1, decoding=True).state is CameraState.LIVE
    verdict = watch.tick(6 * S, decoding=True)
    assert verdict.state is CameraState.STALLED
    assert "no packet for 5.0 s" in verdict.reason


def test_never_a_packet_is_stalled_too() -> None:
    assert StreamWatch(0, OPTIONS).tick(5 * S, decoding=True).state is CameraState.STALLED


def test_packets_that_never_decode_are_noticed() -> None:
    watch = StreamWatch(0, OPTIONS)
    for second in range(11):
        watch.packet(second * S)

    verdict = watch.tick(10 * S, decoding=True)

    assert verdict.state is CameraState.STALLED
    assert "none became a picture" in verdict.reason


def test_a_gated_camera_owes_no_frames() -> None:
    """Asleep for a minute, then woken: the clock for frames starts at the waking."""
    watch = StreamWatch(0, OPTIONS)
    for second in range(61):
        watch.packet(second * S)
        assert watch.tick(second * S, decoding=False).state is CameraState.LIVE
    watch.packet(69 * S)

    assert watch.tick(69 * S, decoding=True).state is CameraState.LIVE
    watch.packet(70 * S)
    assert watch.tick(70 * S, decoding=True).state is CameraState.STALLED


def test_frames_keep_it_alive() -> None:
    watch = StreamWatch(0, OPTIONS)
    for second in range(60):
        watch.packet(second * S)
        watch.frame(second * S)

    assert watch.tick(60 * S, decoding=True).state is CameraState.LIVE
