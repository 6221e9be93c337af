"""What an operator gets wrong: each mistake by file, line, key and a sentence that says what to do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.config.deployment import Config, load
from app.config.problem import ConfigProblems
from app.config.schema import json_schema
from app.config.shape import secret_names, walk
from pipelines.errors import ConfigError

CANARY = "c4nary-Passw0rd"
CAMERA = "cameras:\n  door:\n    url: rtsp://10.0.0.1/live\n"


@dataclass(frozen=True)
class Mistake:
    """A deployment with one mistake."""

    text: str
    line: int
    key: str
    sentence: str
    """A pattern that the sentence must contain."""


MISTAKES = {
    "not YAML": Mistake("cameras:\n  door: {url: x\nhttp: 1\n", 3, "", "not YAML .*missing colon"),
    "tab": Mistake("cameras:\n\tdoor: 1\n", 2, "", "spaces, not tabs"),
    "duplicate key": Mistake(CAMERA + "    url: rtsp://b/\n", 4, "cameras.door.url", r"twice \(first on line 3\)"),
    "duplicate camera": Mistake(CAMERA + "  door: {url: rtsp://b/}\n", 4, "cameras.door", "twice .*keep one"),
    "two sinks of one name": Mistake(
        CAMERA + "sinks:\n  out: {type: jsonl, path: a}\n  out: {type: jsonl, path: b}\n", 6, "sinks.out", "twice"
    ),
    "unknown section": Mistake(CAMERA + "camras: 1\n", 4, "camras", "unknown key; did you mean `cameras`"),
    "unknown key": Mistake(
        CAMERA + "    analize_fps: 5\n", 4, "cameras.door.analize_fps", "did you mean `analyse_fps`"
    ),
    "nothing like it": Mistake(CAMERA + "log: {colour: red}\n", 4, "log.colour", "unknown key: .*one of format, level"),
    "no space after a colon": Mistake(CAMERA + "log: {level:info}\n", 4, "log.level…", "space after the colon"),
    "wrong type": Mistake(CAMERA + "    deadline_ms: soon\n", 4, "cameras.door.deadline_ms", "whole number"),
    "a list for a number": Mistake(
        CAMERA + "    analyse_fps: [5]\n", 4, "cameras.door.analyse_fps", "must be a number"
    ),
    "not true or false": Mistake(CAMERA + "    enabled: maybe\n", 4, "cameras.door.enabled", "must be true or false"),
    "text for a section": Mistake(CAMERA + "    rtsp: tcp\n", 4, "cameras.door.rtsp", "must be a mapping"),
    "text for a list": Mistake(
        CAMERA + "    episode:\n      classes: person\n", 5, "cameras.door.episode.classes", "must be a list"
    ),
    "empty section": Mistake(CAMERA + "http:\n", 4, "http", "is empty: .*remove the line"),
    "out of range": Mistake(CAMERA + "    deadline_ms: 5\n", 4, "cameras.door.deadline_ms", "must be at least 10"),
    "in the defaults": Mistake(
        "defaults:\n  analyse_fps: 1000\n" + CAMERA, 2, "defaults.analyse_fps", "must be at most 120"
    ),
    "not a choice": Mistake(
        CAMERA + "    rtsp: {transport: tpc}\n", 4, "cameras.door.rtsp.transport", "one of tcp, udp; did you mean `tcp`"
    ),
    "priority": Mistake(CAMERA + "    priority: urgent\n", 4, "cameras.door.priority", "one of low, normal, high"),
    "no url": Mistake("cameras:\n  door: {region: x}\n", 2, "cameras.door.url", "is required: add `url:`"),
    "url scheme": Mistake("cameras:\n  door: {url: 'http://h/x'}\n", 2, "cameras.door.url", "must begin with rtsp://"),
    "url without host": Mistake("cameras:\n  door: {url: 'rtsp:///x'}\n", 2, "cameras.door.url", "no usable host"),
    "raw slash in a password": Mistake(
        f"cameras:\n  door: {{url: 'rtsp://u:{CANARY}/@h/x'}}\n", 2, "cameras.door.url", "%XX, or give `username:`"
    ),
    "file that is not there": Mistake("cameras:\n  door: {url: no.mp4}\n", 2, "cameras.door.url", "does not exist"),
    "no cameras": Mistake("cameras: {}\n", 1, "cameras", "has no camera: add one"),
    "no cameras at all": Mistake("log: {level: info}\n", 1, "cameras", "has no camera: add one"),
    "camera id with a slash": Mistake("cameras:\n  a/b: {url: rtsp://h}\n", 2, "cameras.a…", "has letters, digits"),
    "camera id too long": Mistake(
        f"cameras:\n  {'x' * 49}: {{url: rtsp://h}}\n", 2, f"cameras.{'x' * 49}", "at most 48 bytes, this one 49"
    ),
    "undefined variable": Mistake(
        CAMERA + "    password: ${CAM_PW}\n", 4, "cameras.door.password", "CAM_PW is not set: export it"
    ),
    "unreadable secret": Mistake(
        CAMERA + "    password_file: /no/pw\n", 4, "cameras.door.password_file", "/no/pw cannot be read .*check name"
    ),
    "polygon of two points": Mistake(
        CAMERA + "    episode:\n      masks:\n        - [[0, 0], [1, 1]]\n",
        6, "cameras.door.episode.masks[0]", "at least 3 points, this one has 2",
    ),
    "polygon outside": Mistake(
        CAMERA + "    episode:\n      masks:\n        - [[0, 0], [1, 0], [1920, 1080]]\n",
        6, "cameras.door.episode.masks[0]", r"outside 0\.\.1: divide pixels",
    ),
    "scores that contradict": Mistake(
        CAMERA + "    episode: {min_score: 0.3, keep_score: 0.5}\n", 4, "cameras.door.episode", "above min_score"
    ),
    "unknown sink": Mistake(
        CAMERA + "sinks:\n  a:\n    type: kafak\n", 6, "sinks.a.type", "must be one of .*did you mean `kafka`"
    ),
    "sink without type": Mistake(CAMERA + "sinks:\n  a: {path: x}\n", 5, "sinks.a", "add `type:` with one of"),
    "kafka without servers": Mistake(
        CAMERA + "sinks:\n  a: {type: kafka}\n", 5, "sinks.a.servers", r"is required: add `servers:` \(Brokers"
    ),
    "a login without a way to log in": Mistake(
        CAMERA + "sinks:\n  a: {type: kafka, servers: ['h:9092'], username: u}\n", 5, "sinks.a", "need sasl_mechanism"
    ),
    "certificate that is not there": Mistake(
        CAMERA + "sinks:\n  a:\n    type: kafka\n    servers: ['h:9092']\n    tls: {ca_file: no.pem}\n",
        8, "sinks.a.tls.ca_file", "no.pem does not exist: check the path",
    ),
    "two sinks in one file": Mistake(
        CAMERA + "sinks:\n  a: {type: jsonl, path: x}\n  b: {type: jsonl, path: ./x}\n",
        6, "sinks.b.path", "same file as sinks.a.path",
    ),
    "port clash": Mistake(
        CAMERA + "http: {port: 9000}\nsinks:\n  g: {type: grpc, port: 9000}\n", 6, "sinks.g.port", "same port as"
    ),
    "listening without a token": Mistake(CAMERA + "http: {host: 0.0.0.0}\n", 4, "http.token", "add `token:`"),
    "short token": Mistake(CAMERA + "http: {token: abc}\n", 4, "http.token", "shorter than 8"),
    "model file missing": Mistake(
        CAMERA + "model: {detector: ./no.onnx}\n", 4, "model.detector", "no.onnx does not exist: check the path"
    ),
    "own detector missing": Mistake(
        CAMERA + "degraded: {detector: ./no.onnx}\n", 4, "degraded.detector", "no.onnx does not exist: check the path"
    ),
    "model size": Mistake(CAMERA + "model: {size: 416}\n", 4, "model.size", 'right form: .*"WxH"'),
    "worker elsewhere": Mistake(CAMERA + "worker: {spawn: false}\n", 4, "worker.socket", "name the socket"),
    "more reserved than there is": Mistake(CAMERA + "lane: {slots: 4}\n", 4, "lane", "raise slots"),
}  # fmt: skip


def problems_of(text: str, path: Path, environ: dict[str, str] | None = None) -> ConfigProblems:
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {})
    assert isinstance(caught.value, ConfigProblems)
    return caught.value


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named(name: str, tmp_path: Path) -> None:
    mistake = MISTAKES[name]
    path = tmp_path / "deployment.yaml"

    error = problems_of(mistake.text, path)

    assert [(p.place.file, p.place.line, p.key) for p in error.problems] == [(str(path), mistake.line, mistake.key)]
    assert re.search(mistake.sentence, error.problems[0].sentence)
    key = f"{mistake.key}: " if mistake.key else ""
    assert str(error) == f"{path}:{mistake.line}: {key}{error.problems[0].sentence}"


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    error = problems_of(
        "defaults: {motion: {hold_s: -1}}\n"
        "cameras:\n"
        "  a: {url: ftp://h}\n"
        "  b: {url: rtsp://h, priority: x, nonsense: 1}\n"
        "  b: {}\n"
        "  c: {url: none.mp4}\n"
        "sinks: {k: {type: kafka, password: '${NONE}'}}\n"
        "http: {host: 0.0.0.0}\n",
        tmp_path / "f.yaml",
    )

    assert [(p.place.line, p.key) for p in error.problems] == [
        (1, "defaults.motion.hold_s"),
        (3, "cameras.a.url"),
        (4, "cameras.b.priority"),
        (4, "cameras.b.nonsense"),
        (5, "cameras.b"),
        (7, "sinks.k.servers"),
        (7, "sinks.k.password"),
        (8, "http.token"),
    ], "a mistake in the defaults is told once, and what depends on it is not guessed at"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml:1: cannot be read \(No such file"):
        load(tmp_path / "none.yaml", {})


# --- secrets -------------------------------------------------------------------------------------------------------

LEAKS = [
    "cameras: {a: {url: 'rtsp://u:CANARY@h/x', nonsense: CANARY}}",
    "cameras: {a: {url: 'rtsp://u:CANARY@h:port/x'}}",
    "cameras: {a: {url: 'http://u:CANARY@h/x'}}",
    "cameras: {a: {url: [rtsp://u:CANARY@h]}}",
    "cameras: {a: {url: {CANARY: 1}}}",
    "cameras: {'rtsp://u:CANARY@h': {}}",
    "cameras: {a: 'rtsp://u:CANARY@h'}",
    "cameras: {a: {url: rtsp://h, rtsp: 'u:CANARY'}}",
    "cameras: {a: {url: rtsp://h, password: [CANARY]}}",
    "cameras: {a: {url: rtsp://h, password: {x: CANARY}}}",
    "cameras: {a: {url: rtsp://h, password:CANARY}}",
    "cameras: {a: {url: rtsp://h, password: *CANARY}}",
    "cameras: {a: {url: rtsp://h, password: !CANARY}}",
    "cameras: {a: {url: rtsp://h, password: @CANARY}}",
    "cameras: {a: {url: rtsp://h, password: 'CANARY}}",
    "cameras: {a: {url: rtsp://h, password: ${CANARY}}",
    "cameras: {a: {url: rtsp://h, password: '${X:-CANARY'}}",
    "cameras: {a: {url: rtsp://h, deadline_ms: CANARY, priority: CANARY, enabled: CANARY, password: '${PW}', foo: 1}}",
    "cameras: {a: {url: '${PW}', rtsp: {transport: '${PW}'}}}",
    "sinks: {k: {type: CANARY}}",
    "sinks: {k: {type: kafka, password: CANARY}}",
    "sinks: {k: {type: kafka, servers: ['h:1'], sasl_mechanism: CANARY, username: u, password: CANARY}}",
    "http: {token: CANARY, port: CANARY, host: 0.0.0.0}",
    "model: {size: CANARY}",
    "CANARY",
    "- CANARY",
]


@pytest.mark.parametrize("text", LEAKS)
def test_no_mistake_shows_a_value(text: str, tmp_path: Path) -> None:
    """Whatever is wrong, and wherever the password stands: it is not repeated."""
    error = problems_of(text.replace("CANARY", CANARY) + "\n", tmp_path / "f.yaml", {"PW": CANARY})

    assert CANARY not in f"{error} {error!r} {error.problems!r} {error.args}"


def sound(tmp_path: Path) -> Config:
    """A deployment with the canary as every secret there is."""
    (tmp_path / "pw").write_text(CANARY)
    path = tmp_path / "sound.yaml"
    path.write_text(
        "defaults: {username: u, password: '${PW}'}\n"
        "cameras:\n"
        "  a: {url: 'rtsp://u:${PW}@h/x?token=${PW}'}\n"
        "  b: {url_file: pw, enabled: false}\n"
        "http: {token_file: pw}\n"
        "sinks:\n"
        "  k: {type: kafka, servers: ['h:1'], sasl_mechanism: PLAIN, username: u, password_file: pw}\n"
        "  g: {type: grpc, token: '${PW}'}\n"
    )
    return load(path, {"PW": CANARY})


def test_a_sound_deployment_does_not_show_its_secrets(tmp_path: Path) -> None:
    config = sound(tmp_path)

    assert config.http.token is not None
    assert config.http.token.get_secret_value() == CANARY
    assert CANARY in config.cameras["a"].address
    shown = [repr(config), str(config), str(config.model_dump()), config.model_dump_json(), str(json_schema())]
    shown += [camera.shown_url for name, camera in config.cameras.items() if name != "b"]
    assert not [text for text in shown if CANARY in text]


def test_every_key_that_sounds_like_a_secret_is_one() -> None:
    names = {name for _, _, name, _ in walk(Config)}

    suspects = {name for name in names if re.search(r"password|passwd|token|secret$|^url$", name)}
    assert suspects == secret_names(Config)


def test_no_option_is_named_like_a_secrets_file() -> None:
    """NAME_file beside a secret NAME is ours."""
    names = {name for _, _, name, _ in walk(Config)}

    assert not {f"{name}_file" for name in secret_names(Config)} & names
