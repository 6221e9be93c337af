"""The tree that remembers places: nothing is guessed about scalars, nothing is lost, nothing secret is quoted."""

from __future__ import annotations

import pytest

from app.config.document import Node, overlay, parse
from app.config.problem import Place, Problem


def read_ok(text: str) -> Node:
    problems: list[Problem] = []
    tree = parse(text, "f.yaml", problems)
    assert problems == []
    assert tree is not None
    return tree


def read_bad(text: str) -> list[Problem]:
    problems: list[Problem] = []
    parse(text, "f.yaml", problems)
    return problems


def test_scalars_stay_text() -> None:
    """YAML's own guesses would turn a password into a number and a class into false."""
    tree = read_ok("a: 012345\nb: no\nc: 1:30\nd: 'null'\ne: null\nf: ~\ng:\nh: [1, x]\n")

    assert tree.plain() == {
        "a": "012345", "b": "no", "c": "1:30", "d": "null", "e": None, "f": None, "g": None, "h": ["1", "x"],
    }  # fmt: skip


def at(tree: Node | None, *path: str | int) -> Node:
    for key in path:
        assert tree is not None
        tree = tree.child(key)
    assert tree is not None
    return tree


def test_places_are_those_of_keys_and_items() -> None:
    tree = read_ok("a:\n  b:\n    - 1\n    - {c: 2}\n")

    assert at(tree, "a", "b").place == Place("f.yaml", 2, 2)
    assert at(tree, "a", "b", 1).place == Place("f.yaml", 4, 6)
    assert at(tree, "a", "b", 1, "c").place == Place("f.yaml", 4, 7)


def test_an_empty_file_is_an_empty_mapping() -> None:
    assert read_ok("# nothing\n").plain() == {}


def test_aliases_are_expanded() -> None:
    assert read_ok("a: &x {k: 1}\nb: *x\n").plain() == {"a": {"k": "1"}, "b": {"k": "1"}}


@pytest.mark.parametrize(
    ("text", "line", "key", "sentence"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "a", "is there twice (first on line 1): keep one of the two"),
        ("a:\n  b: 1\n  b: 2\n", 3, "a.b", "is there twice (first on line 2): keep one of the two"),
        ("a: 1\n\tb: 2\n", 2, "", "indent with spaces, not tabs"),
        ('a: "open\n', 2, "", "look for a missing colon, space or quote"),
        ("a: 1\nb\n", 3, "", "look for a missing colon, space or quote"),
        ("a: *secretpw\n", 1, "", "put text that begins with *, & or ! in quotes"),
        ("a: !secretpw\n", 1, "a", "begins with `!`, which is a YAML tag: put it in quotes"),
        ("a: !!python/object:os.system x\n", 1, "a", "begins with `!`"),
        ("a: &x\n  b: *x\n", 2, "a.b", "is an alias that contains itself"),
        ("a: &x {k: 1}\nb:\n  <<: *x\n", 3, "b", "merge keys (`<<`) are not supported"),
        ("? [a, b]\n: 1\n", 1, "", "a key must be plain text"),
        ("- a\n- b\n", 1, "", "must be a mapping of keys"),
        ("a: 1\n---\nb: 1\n", 2, "", "is not YAML"),
    ],
)
def test_mistakes_have_line_and_hint(text: str, line: int, key: str, sentence: str) -> None:
    problems = read_bad(text)

    assert [(p.place.line, p.key) for p in problems] == [(line, key)]
    assert sentence in problems[0].sentence
    assert "secretpw" not in str(problems[0])


def test_an_alias_bomb_ends() -> None:
    """Nine levels of ten references each: a billion nodes if expanded."""
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]

    assert any("grows too large" in p.sentence for p in read_bad("\n".join(lines)))


def test_overlay_merges_mappings_and_replaces_the_rest() -> None:
    base = read_ok("a: {x: 1, y: 2}\nlist: [1, 2]\nonly: here\n")
    over = read_ok("a: {y: 3, z: 4}\nlist: [9]\n")

    merged = overlay(base, over)

    assert merged.plain() == {"a": {"x": "1", "y": "3", "z": "4"}, "list": ["9"], "only": "here"}


def test_a_node_does_not_show_what_it_holds() -> None:
    assert "canary" not in repr(read_ok("a: canary\n"))
