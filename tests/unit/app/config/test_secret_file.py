"""Secrets from files: the content arrives, mistakes name the file and never the content."""

from __future__ import annotations

from pathlib import Path

from app.config.document import parse
from app.config.problem import Problem
from app.config.secret_file import read_secrets

NAMES = frozenset({"password", "token"})


def read(text: str, base: Path) -> tuple[object, list[str]]:
    problems: list[Problem] = []
    tree = parse(text, "f.yaml", problems)
    assert tree is not None
    return read_secrets(tree, NAMES, base, problems).plain(), [str(problem) for problem in problems]


def test_content_replaces_the_file_name(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("s3cret with space \n")

    plain, problems = read("sinks:\n  k: {password_file: pw, key_file: k.pem}\n", tmp_path)

    assert plain == {"sinks": {"k": {"password": "s3cret with space ", "key_file": "k.pem"}}}
    assert problems == []


def test_in_lists_too(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("tok")

    assert read(f"a: [{{token_file: {tmp_path / 't'}}}]\n", Path("/elsewhere")) == ({"a": [{"token": "tok"}]}, [])


def test_mistakes(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "pw").write_text("canary")

    _, problems = read(
        "a: {password_file: none}\nb: {password_file: empty}\nc: {password_file: binary}\n"
        "d: {password: x, password_file: pw}\n",
        tmp_path,
    )

    assert problems == [
        f"f.yaml:1: a.password_file: the secret's file {tmp_path}/none cannot be read (No such file or directory): "
        "check name and rights",
        f"f.yaml:2: b.password_file: the secret's file {tmp_path}/empty is empty: write the secret into it",
        f"f.yaml:3: c.password_file: the secret's file {tmp_path}/binary is not UTF-8 text",
        "f.yaml:4: d.password_file: stands beside `password`: keep one of the two",
    ]
