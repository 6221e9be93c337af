"""A whole deployment: defaults, camera files, environment, secrets; equal cameras are equal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.config.camera import CameraConfig
from app.config.deployment import Config, load
from app.config.worker import load_worker
from pipelines.errors import ConfigError
from pipelines.values import ColorMatrix, ColorRange, Priority

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str) -> Path:
        path = tmp_path / "deployment.yaml"
        path.write_text(text)
        return path

    return to_file


def camera(text: str, write: Write, **environ: str) -> CameraConfig:
    return load(write(f"cameras:\n  door: {text}\n"), environ).cameras["door"]


def test_defaults_lie_under_every_camera(write: Write) -> None:
    config = load(
        write(
            "defaults:\n  analyse_fps: 2\n  episode: {classes: [person], min_score: 0.6}\n"
            "cameras:\n"
            "  a: {url: rtsp://h/a}\n"
            "  b: {url: rtsp://h/b, priority: high, episode: {min_score: 0.7}, analyse_fps: 10}\n"
            "  c: {url: rtsp://h/c, episode: {classes: [car, bus]}}\n"
        ),
        {},
    )
    a, b, c = config.cameras.values()

    assert (a.analyse_fps, b.analyse_fps, c.analyse_fps) == (2, 10, 2)
    assert (a.episode.classes, a.episode.min_score) == (("person",), 0.6)
    assert (b.episode.classes, b.episode.min_score) == (("person",), 0.7)
    assert c.episode.classes == ("car", "bus"), "lists replace"
    assert (a.priority, b.priority) == (Priority.NORMAL, Priority.HIGH)


def test_camera_files_are_joined(write: Write, tmp_path: Path) -> None:
    (tmp_path / "cameras.d").mkdir()
    (tmp_path / "cameras.d/1.yaml").write_text("cameras:\n  one: {url: rtsp://h/1}\n")
    (tmp_path / "cameras.d/2.yaml").write_text("cameras:\n  two: {url: '${URL}'}\n")
    (tmp_path / "three.yaml").write_text("cameras:\n  three: {url: rtsp://h/3, region: here}\n")
    path = write(
        "defaults: {region: there}\ncamera_files: [cameras.d/*.yaml, three.yaml]\ncameras: {zero: {url: rtsp://h/0}}\n"
    )

    cameras = load(path, {"URL": "rtsp://h/2"}).cameras

    assert {name: one.region for name, one in cameras.items()} == {
        "zero": "there", "one": "there", "two": "there", "three": "here",
    }  # fmt: skip


def test_a_camera_in_two_files_is_refused_with_both_places(write: Write, tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("# comment\ncameras:\n  door: {url: rtsp://h/2}\n")
    path = write(
        "cameras:\n  door: {url: rtsp://h/1}\ncamera_files: [more.yaml, none.yaml, '*.yml']\nhttp: {port: x}\n"
    )

    with pytest.raises(ConfigError) as caught:
        load(path, {})

    assert str(caught.value).splitlines() == [
        f"{path}:3: camera_files[2]: matches no file: mend the pattern or remove it",
        f"{path}:4: http.port: must be a whole number, as in 8",
        f"{tmp_path}/more.yaml:3: cameras.door: is already defined in {path}:2: rename it",
        f"{tmp_path}/none.yaml:1: cannot be read (No such file or directory): check name and rights",
    ]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("{url: rtsp://h/x}", "rtsp://h/x"),
        ("{url: rtsp://h/x, username: joe, password: 'p@ss:/w%'}", "rtsp://joe:p%40ss%3A%2Fw%25@h/x"),
        ("{url: rtsp://own:pw@h:8554/x, username: joe, password: other}", "rtsp://own:pw@h:8554/x"),
        ("{url: 'rtsps://[fe80::1]:322/x?a=b', username: joe}", "rtsps://joe:@[fe80::1]:322/x?a=b"),
        ("{url: 'rtsp://${U}:${P}@h/', password: 0123}", "rtsp://joe:p%20w@h/"),
    ],
)
def test_credentials_reach_the_address(text: str, address: str, write: Write) -> None:
    one = camera(text, write, U="joe", P="p%20w")

    assert one.address == address
    assert not one.is_file


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:clips/a b.mp4", "clips/a b.mp4"),
        ("file:///data/a.mp4", "/data/a.mp4"),
        ("file://localhost/data/a.mp4", "/data/a.mp4"),
        ("/data/a.mp4", "/data/a.mp4"),
        ("a.mp4", "a.mp4"),
    ],
)
def test_file_cameras(url: str, path: str, write: Write) -> None:
    one = camera(f"{{url: '{url}', enabled: false}}", write)

    assert one.is_file
    assert one.path == Path(path)


def test_colour_words_reach_the_decoders(write: Write) -> None:
    one = camera("{url: rtsp://h, color: {range: full}, rtsp: {decoder: {color_matrix: 2, color_range: 1}}}", write)

    assert one.rtsp.decoder.color_range is ColorRange.FULL
    assert one.rtsp.decoder.color_matrix is ColorMatrix.BT709, "auto leaves it alone"
    assert one.file.decoder.color_range is ColorRange.FULL
    assert one.file.decoder.color_matrix is ColorMatrix.UNSPECIFIED
    assert camera("{url: rtsp://h}", write).rtsp.decoder.color_range is ColorRange.UNSPECIFIED


def test_equal_text_makes_equal_cameras(write: Write) -> None:
    """What a reload relies on: only cameras that changed restart."""
    text = "cameras:\n  a: {url: rtsp://h/a, password: x}\n  b: {url: rtsp://h/b}\n"
    before = load(write(text), {})
    after = load(write("# moved\n" + text.replace("h/b", "h/b2")), {})

    assert before.cameras["a"] == after.cameras["a"]
    assert before.cameras["b"] != after.cameras["b"]
    assert load(write(text.replace("password: x", "password: y")), {}).cameras["a"] != before.cameras["a"]


def test_a_config_is_frozen(write: Write) -> None:
    one = camera("{url: rtsp://h}", write)

    with pytest.raises(ValueError, match="frozen"):
        one.analyse_fps = 3  # type: ignore[misc]


def test_scalars_are_read_as_their_key_wants(write: Write) -> None:
    one = camera("{url: rtsp://h, password: 012, region: no, enabled: yes, deadline_ms: '200'}", write)

    assert one.password is not None
    assert one.password.get_secret_value() == "012"
    assert (one.region, one.enabled, one.deadline_ms) == ("no", True, 200)


def test_a_worker_reads_its_own_sections_only(write: Write) -> None:
    path = write("cameras: nonsense\nworker: {threads: 3, batch: {max_batch: 2}}\nmodel: {size: 416x256}\n")

    config = load_worker(path, {})

    assert (config.worker.threads, config.worker.batch.max_batch) == (3, 2)
    assert config.model.size_wh == (416, 256)
    with pytest.raises(ConfigError, match=r":1: worker\.threads: must be at least 0"):
        load_worker(write("worker: {threads: -1}\n"), {})


def test_the_workers_part_survives_the_way_to_the_child() -> None:
    """The DPU hands it over as JSON."""
    config = Config().model_copy()

    assert type(config).model_validate_json(config.model_dump_json()) == config
