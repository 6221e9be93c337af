"""Peer: the recipe of the article this project began with. An FFmpeg process per camera decodes, scales to 640x640 and
writes rgb24 into a pipe; Python makes float32 of it (planar, 0..1) and asks a presence model about every frame.

    python -m scripts.bench.peers.ffmpeg_pipe URL...

The model is the shipped one, asked about the frame's own thumbnail: the cheapest one that can be asked.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime

from scripts.bench.peers.count import report

SIDE = 640
THUMBNAIL_WH = (160, 96)
PRESENCE = Path(__file__).parents[3] / "pipelines" / "model" / "shipped" / "presence.onnx"


def command(url: str) -> list[str]:
    quiet = ["ffmpeg", "-nostdin", "-loglevel", "error", "-rtsp_transport", "tcp"]
    return [*quiet, "-i", url, "-vf", f"scale={SIDE}:{SIDE}", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]


def camera(number: int, process: subprocess.Popen[bytes], session: Any, counts: list[int]) -> None:
    """Until the pipe ends."""
    pipe = process.stdout
    assert pipe is not None
    name = session.get_inputs()[0].name
    thumbs = np.zeros((1, 2, THUMBNAIL_WH[1], THUMBNAIL_WH[0]), np.uint8)
    size = SIDE * SIDE * 3
    while len(raw := pipe.read(size)) == size:
        picture = np.frombuffer(raw, np.uint8).reshape(SIDE, SIDE, 3)
        tensor = np.ascontiguousarray((picture.astype(np.float32) / 255.0).transpose(2, 0, 1)[None])
        thumbs[0, 0] = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), THUMBNAIL_WH)
        session.run(None, {name: thumbs})
        counts[number] += tensor.shape[0]


def main() -> None:
    urls = sys.argv[1:]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(PRESENCE), options, providers=["CPUExecutionProvider"])
    processes = [subprocess.Popen(command(url), stdout=subprocess.PIPE, bufsize=SIDE * SIDE * 3) for url in urls]
    counts, stop = [0] * len(urls), threading.Event()
    threads = [
        threading.Thread(target=camera, args=(n, process, session, counts)) for n, process in enumerate(processes)
    ]
    for thread in threads:
        thread.start()
    try:
        report(lambda: counts, stop)
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
