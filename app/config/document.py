"""YAML to a tree that remembers where everything was written.

Every scalar stays text until an option's type says otherwise: `password: 12345` is a password, a class named `no` is a
name, `port: 010` is ten, and a value from the environment is read exactly like one written in the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from app.config.problem import Place, Problem, dotted

_NULL = {"", "~", "null", "Null", "NULL"}
_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "value")}
_CONTAINER_TAGS = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:merge"}
_MAX_NODES = 50_000
"""Aliases are expanded; a few lines of them could otherwise grow without bound."""

Key = str | int
Keys = tuple[Key, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Node:
    """One value with its place: for a value of a mapping, that of its key. No repr: it may hold a secret."""

    value: str | list[Node] | dict[str, Node] | None
    place: Place

    def plain(self) -> object:
        """The bare value, for validation."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def child(self, key: Key) -> Node | None:
        """The value under a key or index, or None."""
        if isinstance(self.value, dict) and isinstance(key, str):
            return self.value.get(key)
        if isinstance(self.value, list) and isinstance(key, int) and key < len(self.value):
            return self.value[key]
        return None


def overlay(base: Node, over: Node) -> Node:
    """`over` on top of `base`: mappings are merged key by key; lists and scalars replace."""
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)):
        return over
    merged = dict(base.value)
    for key, child in over.value.items():
        merged[key] = overlay(merged[key], child) if key in merged else child
    return Node(merged, over.place)


def read(path: Path, problems: list[Problem]) -> Node | None:
    """One YAML file as a tree; None if it cannot be read at all. Adds to `problems`; never raises."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        problems.append(Problem(Place(str(path), 1), "", f"cannot be read ({error.strerror}): check name and rights"))
        return None
    except UnicodeDecodeError:
        problems.append(Problem(Place(str(path), 1), "", "is not UTF-8 text: save it as UTF-8"))
        return None
    return parse(text, str(path), problems)


def parse(text: str, file: str, problems: list[Problem]) -> Node | None:
    """As `read`, from text. An empty document is an empty mapping."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        problems.append(_syntax_problem(error, file))
        return None
    if root is None:
        return Node({}, Place(file, 1))
    tree = _Builder(file, problems).build(root, (), Place(file, 1))
    if tree is not None and not isinstance(tree.value, dict):
        problems.append(Problem(tree.place, "", "must be a mapping of keys: begin with `cameras:`"))
        return None
    return tree


class _Builder:
    """PyYAML's node graph to Nodes: expands aliases, refuses duplicate keys, tags and loops."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self._file = file
        self._problems = problems
        self._open: set[int] = set()
        self._count = 0

    def build(self, node: yaml.Node, path: Keys, place: Place) -> Node | None:
        self._count += 1
        if id(node) in self._open or self._count > _MAX_NODES:
            self._refuse(place, path, "is an alias that contains itself or grows too large: write the values out")
            return None
        if node.tag not in _PLAIN_TAGS | _CONTAINER_TAGS:
            self._refuse(place, path, "begins with `!`, which is a YAML tag: put it in quotes")
            return None
        self._open.add(id(node))
        try:
            return self._convert(node, path, place)
        finally:
            self._open.discard(id(node))

    def _convert(self, node: yaml.Node, path: Keys, place: Place) -> Node | None:
        if isinstance(node, yaml.MappingNode):
            return Node(self._mapping(node, path), place)
        if isinstance(node, yaml.SequenceNode):
            items = (self.build(item, (*path, i), self._place(item)) for i, item in enumerate(node.value))
            return Node([item for item in items if item is not None], place)
        plain = isinstance(node, yaml.ScalarNode) and node.style is None
        return Node(None if plain and node.value in _NULL else str(node.value), place)

    def _mapping(self, node: yaml.MappingNode, path: Keys) -> dict[str, Node]:
        out: dict[str, Node] = {}
        for key_node, value_node in node.value:
            place = self._place(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse(place, path, "a key must be plain text")
                continue
            key = str(key_node.value)
            here = (*path, key)
            if key == "<<":
                self._refuse(place, path, "merge keys (`<<`) are not supported: put what is common under `defaults:`")
            elif key in out:
                first = out[key].place.line
                self._refuse(place, here, f"is there twice (first on line {first}): keep one of the two")
            elif (child := self.build(value_node, here, place)) is not None:
                out[key] = child
        return out

    def _place(self, node: yaml.Node) -> Place:
        return Place(self._file, node.start_mark.line + 1, node.start_mark.column)

    def _refuse(self, place: Place, path: Keys, sentence: str) -> None:
        self._problems.append(Problem(place, dotted(path), sentence))


def _syntax_problem(error: yaml.YAMLError, file: str) -> Problem:
    """PyYAML's own text quotes the line, which may hold a secret: only its kind and place are used."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    raw = str(getattr(error, "problem", "") or "text that is not YAML")
    kind = re.sub(r"'[^']{2,}'", "…", raw)
    if r"'\t'" in raw:
        hint = "indent with spaces, not tabs"
    elif "alias" in kind or "anchor" in kind or "tag" in kind:
        hint = "put text that begins with *, & or ! in quotes"
    else:
        hint = "look for a missing colon, space or quote on this line or the one before"
    return Problem(Place(file, mark.line + 1 if mark else 1), "", f"is not YAML ({kind}): {hint}")
