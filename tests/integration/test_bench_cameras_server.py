"""The bench's cameras, as clients see them: every byte of the clip, in order, again and again."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice, pairwise

import av
import numpy as np
import pytest

from pipelines.accounting import Ledger
from pipelines.source.rtsp import RtspSource
from pipelines.values import U8
from scripts.bench import cameras_index
from scripts.bench.cameras_clip import Clip
from scripts.bench.cameras_run import rtsp_server
from tests.fakes import sei
from tests.fakes.rtsp_server import nal_units

FPS, PICTURES, GOP = 50, 40, 20
Client = Callable[[str, int], list[bytes]]


def ours(url: str, count: int) -> list[bytes]:
    stream = RtspSource(url, Ledger()).open()
    try:
        return [bytes(stream.read().handle) for _ in range(count)]
    finally:
        stream.close()


def ffmpeg(url: str, count: int) -> list[bytes]:
    with av.open(url, options={"rtsp_transport": "tcp"}) as container:
        return [bytes(packet) for packet in islice(container.demux(video=0), count)]


@pytest.fixture(scope="module", params=["h264", "hevc"])
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Clip:
    codec = request.param
    path = tmp_path_factory.mktemp("clip") / f"clip.{codec}"
    encoder = av.CodecContext.create({"h264": "libx264", "hevc": "libx265"}[codec], "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = 640, 360, "yuv420p", FPS  # type: ignore[assignment]
    encoder.gop_size, encoder.max_b_frames = GOP, 0
    quality = "bframes=0:scenecut=0:crf=12:log-level=none"
    encoder.options = {"x265-params": quality} if codec == "hevc" else {"x264-params": quality}
    noise = [av.VideoFrame.from_ndarray(picture, "yuv420p") for picture in _noise()]
    packets = [bytes(packet) for frame in [*noise, None] for packet in encoder.encode(frame)]
    path.write_bytes(b"".join(cameras_index.insert(packet, codec, n) for n, packet in enumerate(packets)))
    return Clip(path, len(packets), FPS, (), 0)


def _noise() -> list[U8]:
    draw = np.random.default_rng(1)
    return [draw.integers(16, 235, (540, 640), np.uint8) for _ in range(PICTURES)]


def pictures(packet: bytes, codec: str) -> list[bytes]:
    """The NAL units, without the server's stamp and what FFmpeg puts in front of key frames anew."""
    beside = (7, 8, 9) if codec == "h264" else (32, 33, 34, 35)
    kinds = ((unit, unit[0] & 0x1F if codec == "h264" else unit[0] >> 1 & 0x3F) for unit in nal_units(packet))
    return [unit for unit, kind in kinds if sei.UUID not in unit and kind not in beside]


@pytest.mark.parametrize("client", [ours, ffmpeg])
def test_a_client_gets_the_clip_as_it_is_in_a_loop(clip: Clip, client: Client) -> None:
    codec = clip.path.suffix[1:]
    with av.open(str(clip.path)) as container:
        sent = [pictures(bytes(packet), codec) for packet in container.demux(video=0) if packet.size]
    with rtsp_server([clip], 2, 0.5) as (urls, _):
        got = client(urls[1], PICTURES + GOP + 1)
    numbers = [cameras_index.read(packet) for packet in got]
    assert numbers[0] in (0, GOP), "it begins with a key frame"
    assert numbers == [(n + (numbers[0] or 0)) % PICTURES for n in range(len(got))]
    assert [pictures(packet, codec) for packet in got] == [sent[n or 0] for n in numbers]
    stamps = [sei.read(packet) for packet in got]
    assert [n for n, stamp in enumerate(stamps) if stamp] == list(range(0, len(got), GOP))
    times_ns = [stamp[1] for stamp in stamps if stamp]
    apart_s = [(after - before) / 1e9 for before, after in pairwise(times_ns)]
    assert apart_s == pytest.approx([GOP / FPS] * len(apart_s))


def test_one_server_serves_any_number_of_clients_and_survives_their_loss(clip: Clip) -> None:
    with rtsp_server([clip], 1, 0.0) as (urls, _):
        source = RtspSource(urls[0], Ledger())
        lost = source.open()
        lost.read()
        lost.interrupt()
        assert len(ours(urls[0], 5)) == 5
        with pytest.raises(Exception, match="404"):
            RtspSource(urls[0].replace("cam0", "cam9"), Ledger()).open()
        lost.close()
