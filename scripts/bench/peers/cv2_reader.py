"""Peer: what most scripts do. A thread per camera: cv2.VideoCapture, read, resize to 640x360. OpenCV's defaults.

python -m scripts.bench.peers.cv2_reader URL...
"""

from __future__ import annotations

import os
import sys
import threading

os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
import cv2

from scripts.bench.peers.count import report

SIZE = (640, 360)


def camera(number: int, url: str, counts: list[int], stop: threading.Event) -> None:
    capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG)
    while not stop.is_set():
        sound, picture = capture.read()
        if not sound:
            break
        cv2.resize(picture, SIZE)
        counts[number] += 1
    capture.release()


def main() -> None:
    urls = sys.argv[1:]
    counts, stop = [0] * len(urls), threading.Event()
    threads = [threading.Thread(target=camera, args=(n, url, counts, stop)) for n, url in enumerate(urls)]
    for thread in threads:
        thread.start()
    report(lambda: counts, stop)
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
