"""Real RTSP: GStreamer's server plays clips, our client reads them."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from pipelines.accounting import Ledger
from pipelines.contracts import Stream
from pipelines.errors import SourceError
from pipelines.source.rtsp import RtspOptions, RtspSource
from pipelines.values import Frame, Undecodable
from tests.fakes import sei
from tests.fakes.rtsp_cameras import read_until_error, rtsp_cameras
from tests.fakes.rtsp_clips import number, write_clip

pytestmark = pytest.mark.rtsp

OPTIONS = RtspOptions(probe_s=0.2, read_timeout_s=3)
X265 = {"x265-params": "log-level=none:bframes=0:keyint=10:min-keyint=10:scenecut=0"}
X264 = {"g": "10", "bf": "0", "sc_threshold": "0"}
LENGTH = 30


@pytest.fixture(scope="module")
def h264(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("h264") / "clip.mp4", count=LENGTH, options=X264)


def frames_of(stream: Stream, count: int) -> list[Frame]:
    """Read and decode `count` packets; nothing may be lost."""
    decoder = stream.decoder()
    out: list[Frame | Undecodable] = []
    for _ in range(count):
        packet = stream.read()
        assert packet is not None
        out += decoder.decode(packet)
    out += decoder.flush()
    decoder.close()
    assert len(out) == count
    return [item for item in out if isinstance(item, Frame)]


def in_turn(frames: list[Frame], length: int = LENGTH) -> bool:
    """Each picture follows its predecessor, round and round, without a gap."""
    numbers = [number(frame.y) for frame in frames]
    return all((b - a) % length == 1 for a, b in pairwise(numbers))


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_h264_loops_without_a_gap(h264: Path, transport: str) -> None:
    ledger = Ledger()
    with rtsp_cameras(h264) as cameras:
        source = RtspSource(
            cameras.urls[0], ledger, RtspOptions.model_validate({**dict(OPTIONS), "transport": transport})
        )
        stream = source.open()
        frames = frames_of(stream, 45)
        stream.close()

    assert source.paced
    assert stream.info.codec == "h264"
    assert frames[0].wh == (128, 96)
    assert stream.info.fps in (0, pytest.approx(25, abs=1))
    assert len(frames) == 45
    assert in_turn(frames)
    assert ledger.snapshot().packets == 45
    arrivals = [frame.arrival_ns for frame in frames]
    assert arrivals == sorted(arrivals)
    pts = [frame.pts_ns or 0 for frame in frames]
    assert pts == pytest.approx([pts[0] + n * 40_000_000 for n in range(45)], abs=1_000_000)


def test_h265(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", "libx265", LENGTH, options=X265)
    with rtsp_cameras(clip) as cameras:
        stream = RtspSource(cameras.urls[0], Ledger(), OPTIONS).open()
        frames = frames_of(stream, 45)
        stream.close()

    assert stream.info.codec == "hevc"
    assert len(frames) == 45
    assert in_turn(frames)


@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
def test_stamped_streams_carry_number_and_send_time(tmp_path: Path, encoder: str) -> None:
    """The truth that latency is measured against. FFmpeg returns a packet a frame time late: the date knows that."""
    clip = write_clip(tmp_path / "clip.mp4", encoder, LENGTH, options=X264 if encoder == "libx264" else X265)
    with rtsp_cameras(clip, "--stamp") as cameras:
        stream = RtspSource(cameras.urls[0], Ledger(), OPTIONS).open()
        packets = [stream.read() for _ in range(40)]
        stamps = [stamp for packet in packets if (stamp := sei.read(bytes(packet.handle)))]
        stream.close()

    first = stamps[0][0]
    assert [frame for frame, _ in stamps] == list(range(first, first + 40))
    delays_ms = [(p.arrival_ns - sent_ns) / 1e6 for p, (_, sent_ns) in zip(packets, stamps, strict=True)][20:]
    assert all(-5 < delay < 35 for delay in delays_ms), delays_ms


def test_cameras_of_one_clip_are_out_of_phase(h264: Path) -> None:
    with rtsp_cameras(h264, "--cameras", "3", "--offset-s", "0.4") as cameras:
        firsts = []
        for url in cameras.urls:
            stream = RtspSource(url, Ledger(), OPTIONS).open()
            firsts.append(number(frames_of(stream, 1)[0].y))
            stream.close()

    assert len(cameras.urls) == 3
    assert {first % 10 for first in firsts} == {0}, "each starts with a key frame"
    assert len(set(firsts)) > 1


def test_change_of_resolution_in_mid_stream(tmp_path: Path) -> None:
    small = write_clip(tmp_path / "a.mp4", count=15, wh=(128, 96), options=X264)
    large = write_clip(tmp_path / "b.mp4", count=15, wh=(192, 112), options=X264)
    with rtsp_cameras(f"{small}+{large}") as cameras:
        stream = RtspSource(cameras.urls[0], Ledger(), OPTIONS).open()
        frames = frames_of(stream, 45)
        stream.close()

    assert len(frames) == 45
    assert set(Counter(frame.wh for frame in frames)) == {(128, 96), (192, 112)}
    assert in_turn(frames, 15)


def test_killed_and_back(h264: Path) -> None:
    """The stream ends with an error; the same source opens the server that came back."""
    with rtsp_cameras(h264) as cameras:
        source = RtspSource(cameras.urls[0], Ledger(), OPTIONS)
        stream = source.open()
        frames_of(stream, 5)
        cameras.process.kill()
        cameras.process.wait()
        read_until_error(stream)
        stream.close()
        with pytest.raises(SourceError, match="Connection refused"):
            source.open()
    with rtsp_cameras(h264, "--port", str(cameras.port)):
        stream = source.open()
        assert len(frames_of(stream, 5)) == 5
        stream.close()


def test_digest_login(h264: Path) -> None:
    with rtsp_cameras(h264, "--credentials", "joe:p@ss:w/rd") as cameras:
        stream = RtspSource(cameras.urls[0], Ledger(), OPTIONS).open()
        assert len(frames_of(stream, 3)) == 3
        stream.close()
        host = cameras.urls[0].rpartition("@")[2]
        for userinfo in ("joe:canary", "nobody:canary"):
            with pytest.raises(SourceError, match="401") as caught:
                RtspSource(f"rtsp://{userinfo}@{host}", Ledger(), OPTIONS).open()
            assert "canary" not in str(caught.value)


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl, which makes the certificate, is not installed")
def test_rtsps_checks_the_certificate(h264: Path, tmp_path: Path) -> None:
    key, certificate, both = tmp_path / "key.pem", tmp_path / "cert.pem", tmp_path / "both.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    both.write_text(certificate.read_text() + key.read_text())
    with rtsp_cameras(h264, "--tls", both) as cameras:
        url = cameras.urls[0]
        assert url.startswith("rtsps://")
        with pytest.raises(SourceError):
            RtspSource(url, Ledger(), OPTIONS).open()
        for trust in ({"ca_file": str(certificate)}, {"tls_verify": False}):
            stream = RtspSource(url, Ledger(), RtspOptions.model_validate({**dict(OPTIONS), **trust})).open()
            assert len(frames_of(stream, 3)) == 3
            stream.close()


def test_one_cut_off_camera_leaves_its_neighbours_alone(h264: Path) -> None:
    """All cameras have the same server, address and port: only the kernel knows which socket is whose."""
    with rtsp_cameras(h264, "--cameras", "4") as cameras:
        streams = [RtspSource(url, Ledger(), OPTIONS, name=f"cam{n}").open() for n, url in enumerate(cameras.urls)]
        cut = threading.Event()

        def pump(stream: Stream) -> None:
            read_until_error(stream)
            cut.set()

        victim = threading.Thread(target=pump, args=(streams[0],))
        victim.start()
        streams[0].interrupt()
        victim.join(1)
        assert cut.is_set()
        for stream in streams[1:]:
            assert in_turn(frames_of(stream, 20))
        for stream in streams:
            stream.close()


def test_a_file_that_is_no_video_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(b"no video")

    with pytest.raises(AssertionError, match=r"no H\.264 or H\.265 video"), rtsp_cameras(path):
        pass
