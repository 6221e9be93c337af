"""Snapshots: inline or in a file, and an alert goes out whatever happens to its picture."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.event.payload import DATA_URI
from pipelines.event.snapshot import SnapshotOptions, Snapshotter
from pipelines.event.snapshot_folder import SnapshotFolder, folder_of
from pipelines.values import AlertType, ColorMatrix, ColorRange, FrameResult
from tests.unit.event.build import alert, flat_frame, frame


def snapshotter(**options: object) -> Snapshotter:
    return Snapshotter(SnapshotOptions.model_validate(options))


def seen() -> FrameResult:
    """A red 1920x1080 picture."""
    return replace(frame(0), frame=flat_frame((63, 102, 240), (1920, 1080), ColorRange.LIMITED, ColorMatrix.BT709))


def event(number: int) -> str:
    return f"01977420-dc00-7000-8000-{number:012x}"


def test_inline() -> None:
    shots = snapshotter(mode="inline", max_width_px=320)

    made = shots.attach(alert(), seen())

    assert made.snapshot is not None
    data = base64.b64decode(made.snapshot.removeprefix(DATA_URI))
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (180, 320, 3)
    assert np.abs(picture[150, 300].astype(int) - (0, 0, 255)).max() <= 8
    assert shots.attach(replace(alert(), type=AlertType.END)).snapshot is None
    assert shots.statistics().taken == 1


def test_boxes_are_drawn_unless_not_wanted() -> None:
    plain = snapshotter(mode="inline", annotate=False).attach(alert(), seen()).snapshot
    drawn = snapshotter(mode="inline").attach(alert(), seen()).snapshot

    assert plain is not None
    assert drawn is not None
    assert len(drawn) > len(plain)


def test_a_file_whose_path_all_records_carry(tmp_path: Path) -> None:
    shots = snapshotter(mode="file", directory=tmp_path / "shots")

    new = shots.attach(alert(), seen())
    end = shots.attach(replace(alert(), type=AlertType.END))

    path = tmp_path / "shots" / "yard" / f"{alert().event_id}.jpg"
    assert new.snapshot == end.snapshot == str(path)
    assert path.read_bytes().startswith(b"\xff\xd8\xff")
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert shots.statistics().held_bytes == path.stat().st_size


def test_off_does_nothing() -> None:
    shots = snapshotter()

    assert not shots.wanted
    assert shots.attach(alert(), seen()) == alert()


def test_no_frame_no_picture() -> None:
    shots = snapshotter(mode="inline")

    assert shots.attach(alert(), frame(0)) == alert()
    assert shots.statistics().failed == 0


def test_a_disk_that_refuses_costs_the_picture_not_the_alert(tmp_path: Path) -> None:
    (tmp_path / "yard").write_text("a file where the folder should be")
    shots = snapshotter(mode="file", directory=tmp_path)

    assert shots.attach(alert(), seen()) == alert()
    figures = shots.statistics()
    assert (figures.taken, figures.failed) == (0, 1)
    assert "yard" in figures.last_error


def test_the_folder_is_bounded_and_loses_its_oldest(tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path, max_bytes=25)
    for number in (1, 2, 3):
        folder.write(event(number), bytes(10))

    assert [path.stem for path in sorted(tmp_path.iterdir())] == [event(2), event(3)]
    assert (folder.held_bytes, folder.deleted) == (20, 1)
    assert folder.path(event(1)) is None
    assert folder.path(event(3)) == tmp_path / f"{event(3)}.jpg"


def test_what_an_earlier_process_left_counts(tmp_path: Path) -> None:
    SnapshotFolder(tmp_path, max_bytes=1000).write(event(1), bytes(10))
    (tmp_path / f".{event(2)}.part").write_bytes(bytes(100))
    (tmp_path / "holiday.jpg").write_bytes(bytes(100))

    folder = SnapshotFolder(tmp_path, max_bytes=15)
    folder.write(event(3), bytes(10))

    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{event(3)}.jpg", "holiday.jpg"]


def test_a_rewritten_picture_counts_once(tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path, max_bytes=100)
    folder.write(event(1), bytes(10))
    folder.write(event(1), bytes(30))

    assert folder.held_bytes == 30


def test_one_picture_larger_than_the_bound_is_kept(tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path, max_bytes=5)

    assert folder.write(event(1), bytes(10)).exists()


def test_a_file_deleted_by_others_does_no_harm(tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path, max_bytes=15)
    folder.write(event(1), bytes(10)).unlink()
    folder.write(event(2), bytes(10))

    assert folder.held_bytes == 10


@pytest.mark.parametrize("camera", ["..", ".", "../../etc", "a/b", "/abs", "Hof Süd", "c\0", "%2E", "..."])
def test_no_camera_id_leaves_the_directory(camera: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, camera)

    assert folder.parent == tmp_path
    assert folder.name.strip(".")
    folder.mkdir()


def test_camera_ids_do_not_share_a_folder(tmp_path: Path) -> None:
    ids = ["..", "%2E%2E", "a/b", "a%2Fb", "a b"]

    assert len({folder_of(tmp_path, camera) for camera in ids}) == len(ids)


def test_every_option_is_documented() -> None:
    assert [name for name, field in SnapshotOptions.model_fields.items() if not field.description] == []
