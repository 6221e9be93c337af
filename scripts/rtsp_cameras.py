"""Simulated RTSP cameras: plays H.264 and H.265 files over GStreamer's RTSP server, in a loop without a gap.

Nothing is decoded or encoded: the clips' packets are read into memory once, and every camera of a clip shares them.
When ready it prints one line of JSON, {"port": int, "urls": [str, ...]}; it ends on SIGTERM or SIGINT.
Needs the distribution's Python (see scripts/rtsp_cameras).
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstApp, GstRtsp, GstRtspServer  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.fakes import sei  # noqa: E402

CODECS = {"video/x-h264": "h264", "video/x-h265": "hevc"}
PAYLOADERS = {"video/x-h264": "rtph264pay", "video/x-h265": "rtph265pay"}
PARSERS = {"video/x-h264": "h264parse", "video/x-h265": "h265parse"}
READ_TIMEOUT_S = 20


@dataclass(frozen=True)
class Picture:
    """One access unit. Times are ns from the start of the clip; the buffer is shared, never written."""

    buffer: Any
    pts_ns: int
    dts_ns: int
    is_key: bool


@dataclass(frozen=True)
class Clip:
    """The packets of one play: one file, or several end to end."""

    media_type: str
    pictures: list[Picture]
    length_ns: int

    def key_before(self, at_ns: int) -> int:
        """Index of the last key frame sent at or before a time of the play."""
        keys = [i for i, p in enumerate(self.pictures) if p.is_key and p.dts_ns <= at_ns]
        return keys[-1] if keys else 0


def read_clip(path: str) -> Clip:
    """All packets of a file's first H.264 or H.265 video, as byte stream, one access unit each."""
    pipeline = Gst.parse_launch("filesrc name=file ! parsebin name=parse")
    pipeline.get_by_name("file").set_property("location", path)
    pipeline.get_by_name("parse").connect("pad-added", _attach_sink, pipeline)
    pipeline.set_state(Gst.State.PLAYING)
    try:
        wanted = Gst.MessageType.EOS | Gst.MessageType.ERROR
        end = pipeline.get_bus().timed_pop_filtered(READ_TIMEOUT_S * Gst.SECOND, wanted)
        sink = pipeline.get_by_name("sink")
        clip = _collect(sink) if sink and end and end.type == Gst.MessageType.EOS else None
    finally:
        pipeline.set_state(Gst.State.NULL)
    if clip is None:
        raise SystemExit(f"{path}: no H.264 or H.265 video that GStreamer can read")
    return clip


def _attach_sink(_parse: Any, pad: Any, pipeline: Any) -> None:
    media_type = (pad.get_current_caps() or pad.query_caps(None)).get_structure(0).get_name()
    if media_type not in PARSERS or pipeline.get_by_name("sink"):
        chain = Gst.parse_bin_from_description("fakesink sync=false async=false", True)
    else:
        chain = Gst.parse_bin_from_description(
            f"{PARSERS[media_type]} config-interval=-1 ! {media_type},stream-format=byte-stream,alignment=au ! "
            "appsink name=sink sync=false async=false max-buffers=0 wait-on-eos=false",
            True,
        )
    pipeline.add(chain)
    chain.sync_state_with_parent()
    pad.link(chain.get_static_pad("sink"))


def _collect(sink: Any) -> Clip:
    pictures: list[Picture] = []
    interval_ns = Gst.SECOND // 25
    media_type = ""
    while sample := sink.try_pull_sample(0):
        caps = sample.get_caps().get_structure(0)
        media_type = caps.get_name()
        known, rate, per = caps.get_fraction("framerate")
        if known and rate > 0:
            interval_ns = Gst.SECOND * per // rate
        pictures.append(_picture(sample.get_buffer(), len(pictures) * interval_ns))
    start_ns = pictures[0].dts_ns
    shifted = [Picture(p.buffer, p.pts_ns - start_ns, p.dts_ns - start_ns, p.is_key) for p in pictures]
    return Clip(media_type, shifted, max(p.dts_ns for p in shifted) + interval_ns)


def _picture(buffer: Any, counted_ns: int) -> Picture:
    """Times as the file has them; where it has none, counted frames."""
    missing = Gst.CLOCK_TIME_NONE
    pts_ns = buffer.pts if buffer.pts != missing else buffer.dts if buffer.dts != missing else counted_ns
    dts_ns = buffer.dts if buffer.dts != missing else pts_ns
    return Picture(buffer, pts_ns, dts_ns, not buffer.has_flags(Gst.BufferFlags.DELTA_UNIT))


def joined(clips: list[Clip]) -> Clip:
    """Clips end to end, as one: how a camera changes its resolution in mid-stream."""
    pictures: list[Picture] = []
    end_ns = 0
    for clip in clips:
        if clip.media_type != clips[0].media_type:
            raise SystemExit("clips joined with + must have the same codec")
        pictures += [Picture(p.buffer, p.pts_ns + end_ns, p.dts_ns + end_ns, p.is_key) for p in clip.pictures]
        end_ns += clip.length_ns
    return Clip(clips[0].media_type, pictures, end_ns)


class Camera:
    """One mount point. Goes on playing, like a real camera, whether or not anybody watches."""

    def __init__(self, clip: Clip, offset_s: float, stamp: bool) -> None:
        self._clip = clip
        self._stamp = stamp
        self._start_s = time.monotonic() - offset_s
        self.factory = GstRtspServer.RTSPMediaFactory()
        payloader = PAYLOADERS[clip.media_type]
        # config-interval=0: the parser has put parameter sets before each key frame; the payloader would put them
        # before each slice of it as well, and a receiver would take each slice for a picture.
        self.factory.set_launch(
            f"( appsrc name=source format=time caps={clip.media_type},stream-format=byte-stream,alignment=au "
            f"! {payloader} name=pay0 pt=96 config-interval=0 mtu=1400 )"
        )
        self.factory.set_shared(True)
        self.factory.connect("media-configure", self._configure)

    def _configure(self, _factory: Any, media: Any) -> None:
        source = media.get_element().get_child_by_name("source")
        at_ns = round((time.monotonic() - self._start_s) * 1e9) % self._clip.length_ns
        play = Play(self._clip, self._clip.key_before(at_ns), self._stamp)
        source.connect("need-data", play.push)
        media.set_reusable(False)


_AT_ONCE = 8


class Play:
    """One run of a camera's pipeline. The sinks pace it; this only hands out the next packet."""

    def __init__(self, clip: Clip, index: int, stamp: bool) -> None:
        self._clip = clip
        self._index = index
        self._stamp = stamp
        self._frame = 0
        self._shift_ns = -clip.pictures[index].dts_ns

    def push(self, source: Any, _length: int) -> None:
        """Streaming thread of this pipeline. Several at once: each call crosses into Python, and other cameras wait."""
        for _ in range(_AT_ONCE):
            if self._push(source) != Gst.FlowReturn.OK:
                return

    def _push(self, source: Any) -> Any:
        picture = self._clip.pictures[self._index]
        dts_ns = picture.dts_ns + self._shift_ns
        buffer = self._stamped(picture, source, dts_ns) if self._stamp else _shared(picture.buffer)
        buffer.dts = dts_ns
        buffer.pts = picture.pts_ns + self._shift_ns
        taken = source.emit("push-buffer", buffer)
        self._frame += 1
        self._index += 1
        if self._index == len(self._clip.pictures):
            self._index = 0
            self._shift_ns += self._clip.length_ns
        return taken

    def _stamped(self, picture: Picture, source: Any, dts_ns: int) -> Any:
        """A copy with truth in it. The sinks send at base time + dts on GStreamer's clock, which is CLOCK_MONOTONIC."""
        base_ns = source.get_base_time()  # 0 until it plays: the first pictures do not know their time
        data = picture.buffer.extract_dup(0, picture.buffer.get_size())
        sent_ns = base_ns + dts_ns if base_ns else 0
        return Gst.Buffer.new_wrapped(sei.insert(data, CODECS[self._clip.media_type], self._frame, sent_ns))


def _shared(buffer: Any) -> Any:
    """A buffer of its own over the same memory: timestamps may be written, pixels are not copied."""
    return buffer.copy_region(Gst.BufferCopyFlags.FLAGS | Gst.BufferCopyFlags.MEMORY, 0, buffer.get_size())


def authentication(credentials: str, certificate: str) -> Any:
    """Digest login for `user:password`, TLS with a PEM file of certificate and key; either may be empty."""
    auth = GstRtspServer.RTSPAuth()
    if certificate:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(certificate))
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "viewer")
    if credentials:
        user, _, password = credentials.partition(":")
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
    else:
        auth.set_default_token(token)
    return auth


def viewers_only(factory: Any) -> None:
    permissions = GstRtspServer.RTSPPermissions()
    for right in (
        GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS,
        GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT,
    ):
        permissions.add_permission_for_role("viewer", right, True)
    factory.set_permissions(permissions)


def serve(options: argparse.Namespace) -> None:
    files = {name: read_clip(name) for clip in options.clips for name in clip.split("+")}
    clips = [joined([files[name] for name in clip.split("+")]) for clip in options.clips]
    server = GstRtspServer.RTSPServer()
    server.set_address(options.host)
    server.set_service(str(options.port))
    server.set_backlog(256)
    server.get_session_pool().set_max_sessions(0)
    if options.credentials or options.tls:
        server.set_auth(authentication(options.credentials, options.tls))
    paths = [f"/cam{n}" for n in range(options.cameras or len(clips))]
    cameras = []
    for number, path in enumerate(paths):
        camera = Camera(clips[number % len(clips)], number * options.offset_s, options.stamp)
        if options.credentials or options.tls:
            viewers_only(camera.factory)
        server.get_mount_points().add_factory(path, camera.factory)
        cameras.append(camera)
    if server.attach(None) == 0:
        raise SystemExit(f"cannot listen on {options.host}:{options.port}")
    port = server.get_bound_port()
    scheme = "rtsps" if options.tls else "rtsp"
    userinfo = ":".join(quote(part, safe="") for part in options.credentials.split(":", 1))
    userinfo += "@" if userinfo else ""
    urls = [f"{scheme}://{userinfo}{options.host}:{port}{path}" for path in paths]
    loop = GLib.MainLoop()
    for number in (signal.SIGTERM, signal.SIGINT):
        GLib.unix_signal_add(GLib.PRIORITY_HIGH, number, loop.quit)
    print(json.dumps({"port": port, "urls": urls}), flush=True)
    loop.run()


def main() -> int:
    parser = argparse.ArgumentParser(prog="rtsp_cameras", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clips", nargs="+", metavar="CLIP", help="H.264 or H.265 file; A+B plays A, then B, as one")
    parser.add_argument(
        "--cameras", type=int, default=0, help="number of cameras; they take the clips in turn (one each)"
    )
    parser.add_argument("--port", type=int, default=8554, help="0: a free one (8554)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--offset-s", type=float, default=1.7, help="each camera is this much ahead of the last (1.7)")
    parser.add_argument("--stamp", action="store_true", help="write frame number and send time, monotonic ns, into SEI")
    parser.add_argument("--credentials", default="", metavar="USER:PASSWORD", help="ask for a digest login")
    parser.add_argument("--tls", default="", metavar="PEM", help="rtsps with this certificate and key")
    Gst.init(None)
    serve(parser.parse_args())
    return 0


if __name__ == "__main__":
    _ = GstApp  # imported for its side effect: typed appsink and appsrc
    sys.exit(main())
