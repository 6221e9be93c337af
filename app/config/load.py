"""From files to checked options, or to the list of all mistakes. No single option is known here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from app.config.document import Keys, Node, read
from app.config.environment import substitute
from app.config.problem import ConfigProblems, Problem, dotted
from app.config.secret_file import read_secrets
from app.config.sentence import problem_of
from app.config.shape import locate, secret_names

Options = TypeVar("Options", bound=BaseModel)

Finding = tuple[Keys, str]
"""A key and what is wrong with it: from checks that look at several options, or at the machine."""

_GROUPS = ("cameras", "sinks", "workers")
"""Mappings whose entries stand for themselves: one bad entry does not keep the others from being checked."""


def document(path: Path, environ: Mapping[str, str], model: type[BaseModel], problems: list[Problem]) -> Node | None:
    """One file with environment and secret files filled in; None if it is no YAML mapping. Blocks: reads files."""
    tree = read(path, problems)
    if tree is None:
        return None
    filled = substitute(tree, environ, problems)
    return read_secrets(filled, secret_names(model), path.parent, problems)


def validated(
    model: type[Options], tree: Node, problems: list[Problem], check: Callable[[Options], Iterable[Finding]]
) -> Options:
    """The tree as options.

    Args:
        problems: Those found before; a value that already has one is not complained about again.
        check: What no option can know alone. Also called on the sound part of a configuration with mistakes.

    Raises:
        ConfigProblems: with every mistake found, not the first one only.
    """
    options, errors = _try(model, tree)
    known = {problem.place for problem in problems}
    found = [problem_of(error, tree, model) for error in errors]
    sound = options if options is not None else _try(model, _without(tree, errors))[0]
    if sound is not None:
        found += [_placed(finding, tree, model) for finding in check(sound)]
    problems += _once(problem for problem in found if problem.place not in known)
    if problems or options is None:
        raise ConfigProblems(problems)
    return options


def _try(model: type[Options], tree: Node) -> tuple[Options | None, list[ErrorDetails]]:
    try:
        return model.model_validate(tree.plain()), []
    except ValidationError as error:
        return None, error.errors(include_url=False, include_input=False)


def _without(tree: Node, errors: Iterable[ErrorDetails]) -> Node:
    """The tree less the sections, or entries of a group, that have errors."""
    assert isinstance(tree.value, dict)
    sections = dict(tree.value)
    for error in errors:
        top = str(error["loc"][0]) if error["loc"] else ""
        group = sections.get(top)
        if top in _GROUPS and len(error["loc"]) > 1 and group is not None and isinstance(group.value, dict):
            entries = {key: node for key, node in group.value.items() if key != error["loc"][1]}
            sections[top] = Node(entries, group.place)
        else:
            sections.pop(top, None)
    return Node(sections, tree.place)


def _placed(finding: Finding, tree: Node, model: type[BaseModel]) -> Problem:
    path, sentence = finding
    return Problem(locate(tree, model, path).node.place, dotted(path), sentence)


def _once(problems: Iterable[Problem]) -> list[Problem]:
    """One complaint per place: a mistake in the defaults is not repeated for each camera."""
    kept: dict[tuple[object, str], Problem] = {}
    for problem in problems:
        kept.setdefault((problem.place, problem.sentence), problem)
    return list(kept.values())
