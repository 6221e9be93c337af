"""Peer: GStreamer, C only. A pipeline per camera: rtspsrc ! depay ! parse ! avdec_h264 ! videoscale ! fakesink.

    /usr/bin/python3 scripts/bench/peers/gstreamer.py URL...

Python starts the pipelines and reads the sinks' counters once a second; no Python runs per frame. Needs the
distribution's Python (as scripts/rtsp_cameras does) and gstreamer1.0-libav.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from scripts.bench.peers.count import report  # noqa: E402

MISSING = 3
CHAIN = (
    'rtspsrc location="{url}" protocols=tcp latency=200 ! rtph264depay ! h264parse ! avdec_h264 max-threads=1 '
    "! videoscale ! video/x-raw,width=640,height=360 ! fakesink name=sink sync=false"
)


def rendered(sink: Any) -> int:
    known, count = sink.get_property("stats").get_uint64("rendered")
    return int(count) if known else 0


def main() -> int:
    Gst.init(None)
    if Gst.ElementFactory.find("avdec_h264") is None:
        sys.stderr.write("no avdec_h264: apt-get install gstreamer1.0-libav\n")
        return MISSING
    pipelines = [Gst.parse_launch(CHAIN.format(url=url)) for url in sys.argv[1:]]
    sinks = [pipeline.get_by_name("sink") for pipeline in pipelines]
    for pipeline in pipelines:
        pipeline.set_state(Gst.State.PLAYING)
    report(lambda: [rendered(sink) for sink in sinks], threading.Event())
    for pipeline in pipelines:
        pipeline.set_state(Gst.State.NULL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
