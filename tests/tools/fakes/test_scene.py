"""The scenes are what they say: colours, edges, truth, tags, stamps."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import av
import numpy as np
import pytest

from pipelines.values import ColorMatrix, ColorRange
from tests.fakes import sei
from tests.fakes.scene import CACHE_VARIABLE, Scene, clip, truth_of
from tests.fakes.scene_match import Found, compare, iou
from tests.fakes.scene_paint import Painter, Rectangle, to_yuv

RED = (1.0, 0.0, 0.0)
LIME = (0.54, 0.94, 0.06)


@pytest.mark.parametrize(
    ("color_range", "matrix", "expected"),
    [
        (ColorRange.LIMITED, ColorMatrix.BT601, (81, 90, 240)),
        (ColorRange.LIMITED, ColorMatrix.BT709, (63, 102, 240)),
        (ColorRange.FULL, ColorMatrix.BT601, (76, 85, 255.5)),
        (ColorRange.FULL, ColorMatrix.BT709, (54, 99, 255.5)),
    ],
)
def test_red_has_the_code_values_of_the_standard(
    color_range: ColorRange, matrix: ColorMatrix, expected: tuple[float, float, float]
) -> None:
    assert to_yuv(RED, color_range, matrix) == pytest.approx(expected, abs=0.7)


def test_edges_are_covered_by_area() -> None:
    """Summed over the picture, what a rectangle adds is its exact area, in luma and chroma, at any offset."""
    painter = Painter((64, 48), ColorRange.FULL, ColorMatrix.BT709, noise_sigma=0.0, seed=1)
    empty = painter.paint(0, []).astype(float)
    box = (10.3, 8.6, 30.9, 21.2)
    area = (box[2] - box[0]) * (box[3] - box[1])
    value = to_yuv(LIME, ColorRange.FULL, ColorMatrix.BT709)

    drawn = painter.paint(0, [Rectangle(LIME, box)]).astype(float)

    cover = (drawn - empty) / (np.where(np.arange(72) < 48, value[0], value[1])[:, None] - empty)
    assert cover[:48].sum() == pytest.approx(area, rel=0.01)
    assert cover[48:60].sum() == pytest.approx(area / 4, rel=0.03)
    assert cover[15, 29:32] == pytest.approx([1.0, 0.9, 0.0], abs=0.01)


def test_noise_has_the_sigma_asked_for_and_differs_from_frame_to_frame() -> None:
    painter = Painter((320, 240), ColorRange.LIMITED, ColorMatrix.BT709, noise_sigma=3.0, seed=1)
    clean = Painter((320, 240), ColorRange.LIMITED, ColorMatrix.BT709, noise_sigma=0.0, seed=1).paint(0, [])
    first, second = (painter.paint(index, []).astype(float) - clean for index in (1, 2))

    assert first[:240].std() == pytest.approx(3.0, rel=0.1)
    assert np.abs(first - second).mean() > 1.0


def test_targets_enter_leave_and_stay_in_the_picture() -> None:
    scene = Scene(seconds=20, busy_s=((4.0, 14.0),))
    frames = [truth_of(scene, n) for n in range(scene.frames)]

    assert not any(frames[: 4 * 25])
    assert not any(frames[14 * 25 :])
    assert max(len(frame) for frame in frames) >= 3
    assert min(box.visible for frame in frames for box in frame) < 0.3
    for frame in frames:
        assert len({box.class_name for box in frame}) == len(frame)
        for box in frame:
            assert 0 <= box.xyxy[0] < box.xyxy[2] <= scene.width
            assert 0 <= box.xyxy[1] < box.xyxy[3] <= scene.height
        for a in frame:
            assert all(iou(a.xyxy, b.xyxy) == 0 for b in frame if b is not a)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_every_access_unit_carries_its_display_number(codec: str, b_frames: int) -> None:
    """Numbers follow the picture, not the packet's place: with B-frames the two differ."""
    scene = Scene(width=128, height=96, seconds=1, codec=codec, b_frames=b_frames, gop=10, noise_sigma=0)

    with av.open(str(clip(scene).path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    stamps = [sei.read(bytes(packet)) for packet in packets]

    numbers = [stamp[0] for stamp in stamps if stamp]
    assert sorted(numbers) == list(range(25))
    assert (numbers != sorted(numbers)) is (b_frames > 0)
    assert all(stamp and stamp[1] == stamp[0] * 40_000_000 for stamp in stamps)
    assert [packet.is_keyframe for packet in packets].count(True) == 3


@pytest.mark.parametrize(
    ("color_range", "matrix", "tagged", "expected"),
    [
        (ColorRange.LIMITED, ColorMatrix.BT601, True, (1, 6)),
        (ColorRange.FULL, ColorMatrix.BT709, True, (2, 1)),
        (ColorRange.LIMITED, ColorMatrix.BT709, False, (0, 2)),
    ],
)
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_the_bitstream_says_range_and_matrix_or_nothing(
    codec: str, color_range: ColorRange, matrix: ColorMatrix, tagged: bool, expected: tuple[int, int]
) -> None:
    scene = Scene(width=128, height=96, seconds=0.2, codec=codec, color_range=color_range, matrix=matrix, tagged=tagged)

    with av.open(str(clip(scene).path)) as container:
        frame = next(container.decode(video=0))

    assert int(frame.colorspace) == expected[1]
    # FFmpeg's H.265 decoder reports "limited" also where the stream does not say.
    assert int(frame.color_range) == (expected[0] if tagged or codec == "h264" else 1)


def test_constant_bit_rate_holds_when_nothing_moves() -> None:
    """Filler keeps the rate: sizes alone then say nothing, which is what such a clip is for."""
    scene = Scene(width=320, height=240, seconds=3, bitrate_bps=600_000, noise_sigma=0, busy_s=((2.9, 2.95),))

    rate_bps = clip(scene).path.stat().st_size * 8 / scene.seconds

    assert rate_bps == pytest.approx(600_000, rel=0.25)


def test_a_clip_is_made_once_and_its_truth_stands_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    scene = Scene(width=64, height=48, seconds=2, fps=5)

    first = clip(scene)
    made = first.path.stat().st_mtime_ns
    second = clip(scene)

    assert first.path == second.path
    assert second.path.stat().st_mtime_ns == made
    assert clip(replace(scene, seed=2)).path != first.path
    truth = json.loads(first.truth_path.read_text())
    assert len(truth["frames"]) == len(first.truth) == 10
    assert truth["frames"][9] == [asdict(box) | {"xyxy": list(box.xyxy)} for box in first.truth[9]]


def test_compare_counts_misses_wrong_classes_and_ghosts() -> None:
    scene = Scene(width=640, height=360)
    truth = truth_of(scene, 60)
    good = [Found(box.class_name, box.xyxy) for box in truth]
    shifted = [Found(b.class_name, (b.xyxy[0] + 20, b.xyxy[1], b.xyxy[2] + 20, b.xyxy[3])) for b in truth]
    swapped = [Found("lime" if b.class_name != "lime" else "cyan", b.xyxy) for b in truth]

    assert compare([(60, truth, good)]).perfect == 1.0
    for wrong in (shifted, swapped):
        assert compare([(60, truth, wrong)]).matched == 0
        assert compare([(60, truth, wrong)]).false_boxes == len(truth)
    assert compare([(60, truth, good[1:])]).perfect == 0.0
