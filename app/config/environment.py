"""The one place that knows the environment, and `${NAME}` in a configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from app.config.document import Node
from app.config.problem import Problem, dotted

_REFERENCE = re.compile(r"\$(?P<escaped>\$\{)|\$\{(?P<body>[^}]*)(?P<end>\}?)")
_BODY = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(:-(?P<default>.*))?", re.DOTALL)


def environment() -> Mapping[str, str]:
    """The process's environment, copied once; everything else takes it as an argument."""
    return dict(os.environ)


def silence_libraries() -> None:
    """No library calls home. Before any is imported; what the operator has set stays.

    onnxruntime's wheels, also those for Linux, collect usage data, keep it in the user's cache folder and send it to
    their maker; `disable_telemetry_events()` comes too late for the files (seen with 1.32).
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def substitute(
    tree: Node, environ: Mapping[str, str], problems: list[Problem], path: tuple[str | int, ...] = ()
) -> Node:
    """Replace `${NAME}` and `${NAME:-default}` in every value (not in keys); `$${` stands for a literal `${`.

    What comes out of the environment is text: it cannot add keys, whatever it holds.
    """
    value = tree.value
    if isinstance(value, dict):
        children = {key: substitute(child, environ, problems, (*path, key)) for key, child in value.items()}
        return Node(children, tree.place)
    if isinstance(value, list):
        items = [substitute(child, environ, problems, (*path, i)) for i, child in enumerate(value)]
        return Node(items, tree.place)
    if value is None or "${" not in value:
        return tree
    return Node(_REFERENCE.sub(lambda match: _resolve(match, environ, problems, tree, path), value), tree.place)


def _resolve(
    match: re.Match[str], environ: Mapping[str, str], problems: list[Problem], node: Node, path: tuple[str | int, ...]
) -> str:
    if match["escaped"]:
        return "${"
    body = _BODY.fullmatch(match["body"])
    if body is None or not match["end"]:
        sentence = "has a `${` that is no ${NAME} or ${NAME:-default}: mend it, or write `$${` for a literal `${`"
        problems.append(Problem(node.place, dotted(path), sentence))
        return ""
    found = environ.get(body["name"])
    if body["default"] is not None:
        return found or body["default"]
    if found is None:
        sentence = (
            f"the environment variable {body['name']} is not set: export it, or write ${{{body['name']}:-default}}"
        )
        problems.append(Problem(node.place, dotted(path), sentence))
        return ""
    return found
