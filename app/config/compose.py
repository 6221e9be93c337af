"""One deployment from its files: camera files joined, defaults under every camera."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from app.config.document import Node, overlay
from app.config.problem import Problem, dotted

ReadFile = Callable[[Path], Node | None]


def join_cameras(main: Node, path: Path, read_file: ReadFile, problems: list[Problem]) -> Node:
    """Add the cameras of `camera_files` to those of the main file. A camera may be defined once only.

    Args:
        path: The main file's; the names of camera files are relative to its directory and may hold * and ?.
    """
    names = main.child("camera_files")
    cameras = main.child("cameras")
    if names is None or not isinstance(names.value, list) or not isinstance(main.value, dict):
        return main
    if cameras is not None and not isinstance(cameras.value, dict):
        return main
    joined: dict[str, Node] = dict(cameras.value) if cameras is not None and isinstance(cameras.value, dict) else {}
    for index, name in enumerate(names.value):
        for file in _matches(path.parent, name, index, problems):
            _add(joined, read_file(file), problems)
    place = cameras.place if cameras is not None else names.place
    return Node(main.value | {"cameras": Node(joined, place)}, main.place)


def _matches(base: Path, name: Node, index: int, problems: list[Problem]) -> list[Path]:
    if not isinstance(name.value, str) or not name.value:
        return []
    if not any(mark in name.value for mark in "*?["):
        return [base / name.value]
    pattern = Path(name.value)
    files = sorted(Path(pattern.anchor or base).glob(str(pattern.relative_to(pattern.anchor))))
    if not files:
        problems.append(Problem(name.place, f"camera_files[{index}]", "matches no file: mend the pattern or remove it"))
    return files


def _add(joined: dict[str, Node], tree: Node | None, problems: list[Problem]) -> None:
    if tree is None or not isinstance(tree.value, dict):
        return
    for key, node in tree.value.items():
        if key != "cameras":
            problems.append(
                Problem(node.place, dotted([key]), "a camera file holds `cameras:` only: move it to the main file")
            )
    cameras = tree.child("cameras")
    if cameras is None or not isinstance(cameras.value, dict):
        problems.append(Problem(tree.place, "", "a camera file needs a `cameras:` mapping"))
        return
    for camera, node in cameras.value.items():
        if (first := joined.get(camera)) is not None:
            where = f"{first.place.file}:{first.place.line}"
            problems.append(
                Problem(node.place, dotted(["cameras", camera]), f"is already defined in {where}: rename it")
            )
        else:
            joined[camera] = node


def apply_defaults(main: Node) -> Node:
    """Lay every camera over the `defaults:`, key by key."""
    defaults, cameras = main.child("defaults"), main.child("cameras")
    if defaults is None or cameras is None or not isinstance(main.value, dict) or not isinstance(cameras.value, dict):
        return main
    merged = {camera: overlay(defaults, node) for camera, node in cameras.value.items()}
    return Node(main.value | {"cameras": Node(merged, cameras.place)}, main.place)


def require_camera(main: Node, problems: list[Problem]) -> None:
    """A deployment without cameras is a mistake; asked of the text, as bad entries are still entries."""
    cameras = main.child("cameras")
    if cameras is None or cameras.value == {}:
        place = cameras.place if cameras is not None else main.place
        problems.append(Problem(place, "cameras", "has no camera: add one as `ID:` with a `url:` below it"))
