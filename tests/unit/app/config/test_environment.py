"""`${NAME}`: text in, text out, and a clear word when it is not there."""

from __future__ import annotations

import pytest

from app.config.document import parse
from app.config.environment import substitute
from app.config.problem import Problem


def filled(value: str, environ: dict[str, str]) -> tuple[object, list[str]]:
    problems: list[Problem] = []
    tree = parse(f"a:\n  - '{value}'\n", "f.yaml", problems)
    assert tree is not None
    plain = substitute(tree, environ, problems).plain()
    assert isinstance(plain, dict)
    return plain["a"][0], [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("rtsp://${U}:${P}@cam", "rtsp://joe:p: w}@cam"),
        ("${NONE:-here}", "here"),
        ("${NONE:-}", ""),
        ("${EMPTY:-here}", "here"),
        ("${EMPTY}", ""),
        ("${U:-other}", "joe"),
        ("$${U} costs $5 {U} $U", "${U} costs $5 {U} $U"),
        ("plain", "plain"),
    ],
)
def test_references_are_replaced(value: str, expected: str) -> None:
    assert filled(value, {"U": "joe", "P": "p: w}", "EMPTY": ""}) == (expected, [])


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("x${NONE}y", "the environment variable NONE is not set: export it, or write ${NONE:-default}"),
        ("${open", "has a `${` that is no ${NAME} or ${NAME:-default}"),
        ("${9bad}", "has a `${` that is no ${NAME} or ${NAME:-default}"),
        ("${a b}", "has a `${` that is no ${NAME} or ${NAME:-default}"),
    ],
)
def test_what_cannot_be_replaced_is_a_problem_with_its_place(value: str, sentence: str) -> None:
    _, problems = filled(value, {})

    assert len(problems) == 1
    assert problems[0].startswith(f"f.yaml:2: a[0]: {sentence}")


def test_a_value_cannot_add_keys() -> None:
    """Whatever the environment holds, it stays one scalar."""
    assert filled("${U}", {"U": "x\nb: [1]\n"}) == ("x\nb: [1]\n", [])
