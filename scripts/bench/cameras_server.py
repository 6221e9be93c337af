"""scripts/rtsp_cameras --stamp for the capacity bench: only key frames get the time at which they were sent.

    /usr/bin/python3 scripts/bench/cameras_server.py [options of rtsp_cameras] CLIP...

Stamping a picture costs the server 0.1 ms and more: with 64 cameras a quarter of a core that no camera has to spare.
The pictures between two key frames follow at the clip's rate. Needs the distribution's Python.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from scripts import rtsp_cameras


class KeyStampedPlay(rtsp_cameras.Play):
    def _stamped(self, picture: Any, source: Any, dts_ns: int) -> Any:
        if picture.is_key:
            return super()._stamped(picture, source, dts_ns)
        return rtsp_cameras._shared(picture.buffer)


if __name__ == "__main__":
    rtsp_cameras.Play = KeyStampedPlay  # type: ignore[misc]
    sys.exit(rtsp_cameras.main())
