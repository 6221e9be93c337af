"""`NAME_file: PATH` beside every secret `NAME`: the secret is the content of the file."""

from __future__ import annotations

from pathlib import Path

from app.config.document import Keys, Node
from app.config.problem import Problem, dotted

_SUFFIX = "_file"
_MOST_BYTES = 64 * 1024


def read_secrets(tree: Node, names: frozenset[str], base: Path, problems: list[Problem], path: Keys = ()) -> Node:
    """Replace each `NAME_file` by `NAME` with the file's content, without the line break at its end.

    Args:
        names: Which keys are secrets.
        base: Directory that relative paths start from: that of the configuration file.
    """
    if isinstance(tree.value, list):
        items = [read_secrets(item, names, base, problems, (*path, i)) for i, item in enumerate(tree.value)]
        return Node(items, tree.place)
    if not isinstance(tree.value, dict):
        return tree
    out: dict[str, Node] = {}
    for key, node in tree.value.items():
        name = key.removesuffix(_SUFFIX)
        if name == key or name not in names or not isinstance(node.value, str):
            out[key] = read_secrets(node, names, base, problems, (*path, key))
            continue
        if name in tree.value:
            problems.append(Problem(node.place, dotted((*path, key)), f"stands beside `{name}`: keep one of the two"))
        out[name] = Node(_content(base / node.value, node, (*path, key), problems), node.place)
    return Node(out, tree.place)


def _content(file: Path, node: Node, path: Keys, problems: list[Problem]) -> str:
    try:
        with file.open(encoding="utf-8") as stream:
            text = stream.read(_MOST_BYTES).rstrip("\r\n")
    except OSError as error:
        reason = f"the secret's file {file} cannot be read ({error.strerror}): check name and rights"
        problems.append(Problem(node.place, dotted(path), reason))
        return ""
    except UnicodeDecodeError:
        problems.append(Problem(node.place, dotted(path), f"the secret's file {file} is not UTF-8 text"))
        return ""
    if not text:
        problems.append(
            Problem(node.place, dotted(path), f"the secret's file {file} is empty: write the secret into it")
        )
    return text
