"""One picture sequence to one encoded file, as cameras are set up: codec, rate control, group length."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, cast

import av
from av.video.stream import VideoStream

from pipelines.values import U8
from scripts.bench.scenes.picture import FPS

_TIME_BASE = Fraction(1, 90_000)
_BT709, _LIMITED = 1, 1


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a camera encodes. Key frames stand exactly every `gop` frames; all groups are closed."""

    codec: Literal["h264", "hevc"] = "h264"
    rate: Literal["crf", "cbr", "abr"] = "crf"
    """crf: constant quality; cbr: constant rate, padded with filler; abr: constant on average."""
    level: int = 26
    """Of crf the quality, else kbit/s."""
    gop: int = 50
    b_frames: int = 0
    one_qp: bool = False
    """No adaptive quantisation within a picture, as most cameras' chips encode."""
    least_qp: int = 0
    """Cameras do not spend bits on less: where the picture needs no more, constant rate is filler."""

    @property
    def label(self) -> str:
        b_frames = f"-b{self.b_frames}" if self.b_frames else ""
        qp = f"-qp{self.least_qp}" * bool(self.least_qp) + "-oneqp" * self.one_qp
        return f"{self.codec}-{self.rate}{self.level}-gop{self.gop}{b_frames}{qp}"

    def options(self) -> dict[str, str]:
        """FFmpeg options of the encoder: what a camera's own encoder does, no look-ahead."""
        params = [f"keyint={self.gop}:min-keyint={self.gop}:scenecut=0:bframes={self.b_frames}:rc-lookahead=0"]
        params += [self._rate(), f"qpmin={self.least_qp}"]
        params += ["aq-mode=0"] * self.one_qp
        if self.codec == "hevc":
            params += ["open-gop=0:log-level=none:info=0:pools=none:frame-threads=1:repeat-headers=1"]
            return {"preset": "ultrafast", "x265-params": ":".join(params)}
        params += ["b-adapt=0:threads=1:sync-lookahead=0"]
        return {"preset": "superfast", "x264-params": ":".join(params)}

    def _rate(self) -> str:
        if self.rate == "crf":
            return f"crf={self.level}"
        if self.rate == "abr":
            return f"bitrate={self.level}"
        constant = "strict-cbr=1" if self.codec == "hevc" else "nal-hrd=cbr"
        return f"bitrate={self.level}:vbv-maxrate={self.level}:vbv-bufsize={self.level}:{constant}"


class Encoder:
    """Writes one MPEG-TS file: start codes and parameter sets in band, as over RTSP. One thread."""

    def __init__(self, path: Path, recipe: Recipe, wh: tuple[int, int]) -> None:
        self._container = av.open(str(path), "w", format="mpegts")
        name = {"h264": "libx264", "hevc": "libx265"}[recipe.codec]
        self._stream = cast(VideoStream, self._container.add_stream(name, rate=FPS, options=recipe.options()))
        context = self._stream.codec_context
        context.width, context.height = wh
        context.pix_fmt, context.time_base = "yuv420p", _TIME_BASE
        context.gop_size, context.max_b_frames = recipe.gop, recipe.b_frames
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
        self._number = 0

    def add(self, picture: U8) -> None:
        """The next picture, I420."""
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, frame.time_base = self._number * _TIME_BASE.denominator // FPS, _TIME_BASE
        frame.color_range, frame.colorspace = _LIMITED, _BT709
        self._number += 1
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()
