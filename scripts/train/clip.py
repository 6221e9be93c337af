"""The clips the default models were trained and measured on, and which frames of them are whose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

VTEST = Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")
"""Where Debian's opencv-doc puts it."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip. Paths are relative to the data folder."""

    name: str
    file: str
    role: str = "train"
    """train: the first two thirds (in time) are trained on, the last third is held out. holdout: never trained on.
    unclear: never trained on, because its licence is not known."""
    step_s: float = 0.2
    fixed: bool = True
    """The camera stands still (or shakes a little)."""
    events: str = ""
    """Hand-set presence intervals; none: present is constant, or the teacher says."""
    present: int | None = None
    boxes: bool = True
    """False: the teacher's boxes are of no use here (nadir cars, flames, bottles) and are dropped."""


def _known() -> Iterator[Clip]:
    v, gt = "video", "gt"
    yield Clip(
        "one_by_one",
        f"{v}/one-by-one-person-detection.mp4",
        events=f"{gt}/one-by-one-person-detection.events.json",
    )
    yield Clip("bottle", f"{v}/bottle-detection.mp4", present=0, boxes=False)
    yield Clip("opendatacam", f"{v}/opendatacam_intersection.mp4", present=1)
    for name, stem in (
        ("marathon", "mpf_five-second-marathon-clip.mkv"),
        ("video_02", "mpf_video_02.mp4"),
        ("highway", "boof_highway_bridge_jitter.mp4"),
    ):
        yield Clip(name, f"{v}/{stem}", events=f"{gt}/{stem.rsplit('.', 1)[0]}.events.json")
    yield Clip("horse", f"{v}/boof_horse_jitter.mp4")
    yield Clip("fire", f"{v}/boof_rubixfire.mp4", events=f"{gt}/boof_rubixfire.events.json", boxes=False)
    yield Clip("parking", f"{v}/extra/boof_parking_lot_scan.mp4", fixed=False)
    yield Clip("ferrari", f"{v}/extra/mpf_lp-ferrari.mp4", fixed=False, step_s=0.04, present=1)
    yield Clip("toronto", f"{v}/extra/mpf_toronto-highway-shortened.mp4", fixed=False, step_s=0.1, present=1)
    yield Clip("vtest", f"{v}/vtest.avi", present=1)
    yield Clip(
        "car_detection",
        f"{v}/car-detection.mp4",
        role="holdout",
        events=f"{gt}/car-detection.events.json",
        boxes=False,
    )
    stem = "mpf_man-walking-across-screen"
    yield Clip("man_walking", f"{v}/{stem}.mp4", role="holdout", events=f"{gt}/{stem}.events.json")
    yield Clip("bikes", f"{v}/bikes.mp4", role="unclear", fixed=False, present=1)  # an excerpt of a film
    for file in (
        "bgs_video.avi",
        "bgs_video02.avi",
        "bgs_video03.avi",
        "boof_street_intersection.mp4",
        "dvr_issue53_brightness.avi",
        "dvr_traffic_camera.mp4",
        "lux_people.mp4",
        "lux_school_corridor.mp4",
        "sv_walking.mp4",
        "wise_3.avi",
        "wise_4.avi",
        "wise_5.avi",
    ):
        yield Clip("u_" + file.split(".")[0], f"{v}/unclear/{file}", role="unclear", step_s=0.4)


CLIPS = {clip.name: clip for clip in _known()}


def find(clip: Clip, data: Path) -> Path | None:
    """The clip's file, or None where this machine has none."""
    for path in (data / clip.file, VTEST if clip.name == "vtest" else None):
        if path is not None and path.is_file():
            return path
    return None


def sampled(path: Path, step_s: float) -> Iterator[tuple[int, float, av.VideoFrame]]:
    """(frame number in decode order, time in s by the nominal frame rate, frame) about each `step_s`."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        fps = float(stream.average_rate or 25)
        step = max(1, round(fps * step_s))
        for number, frame in enumerate(container.decode(stream)):
            if number % step == 0:
                yield number, number / fps, frame


def held_out_from(clip: Clip, n: int) -> int:
    """Index of the first of n sampled frames that training never sees."""
    return int(np.ceil(n * 2 / 3)) if clip.role == "train" else 0


def present_labels(
    clip: Clip, data: Path, numbers: list[int], boxes: list[np.ndarray] | None
) -> tuple[np.ndarray, str]:
    """Presence 1, absence 0, unknown -1 of each sampled frame, and who says so: gt, constant or teacher.

    boxes: the teacher's, per frame; None: unknown where only the teacher could say.
    """
    if clip.events:
        present = np.zeros(len(numbers), int)
        for event in json.loads((data / clip.events).read_text())["events"]:
            present[(np.array(numbers) >= event["start_frame"]) & (np.array(numbers) <= event["end_frame"])] = 1
        return present, "gt"
    if clip.present is not None:
        return np.full(len(numbers), clip.present), "constant"
    if boxes is None:
        return np.full(len(numbers), -1), "teacher"
    best = np.array([b[:, 4].max() if len(b) else 0 for b in boxes])
    return np.where(best >= 0.45, 1, np.where(best < 0.2, 0, -1)), "teacher"
