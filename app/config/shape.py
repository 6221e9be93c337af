"""Questions about option models: which model stands at a key, which keys are secrets, what keys there are."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from app.config.document import Key, Keys, Node

Annotation = object


def members(annotation: Annotation) -> list[Annotation]:
    """The alternatives of a type, without Annotated and None: one for a plain type."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return members(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [inner for arg in typing.get_args(annotation) for inner in members(arg)]
    return [] if annotation is type(None) else [annotation]


def models(annotation: Annotation) -> list[type[BaseModel]]:
    """The option models among the alternatives."""
    return [one for one in members(annotation) if isinstance(one, type) and issubclass(one, BaseModel)]


def tag(model: type[BaseModel]) -> str | None:
    """What `type:` must say to choose this model; None where there is no choice."""
    field = model.model_fields.get("type")
    choices = typing.get_args(field.annotation) if field else ()
    return str(choices[0]) if choices else None


def child(annotation: Annotation, key: Key) -> Annotation | None:
    """The type of what stands under a key or index, or None where the key is unknown."""
    for one in members(annotation):
        if isinstance(one, type) and issubclass(one, BaseModel):
            if key in one.model_fields:
                return one.model_fields[str(key)].annotation
            continue
        origin, arguments = typing.get_origin(one), typing.get_args(one)
        if origin in (dict, Mapping) and isinstance(key, str):
            return typing.cast(Annotation, arguments[1])
        if origin in (list, tuple, set, frozenset, Sequence) and isinstance(key, int):
            fixed = origin is tuple and ... not in arguments and key < len(arguments)
            return typing.cast(Annotation, arguments[key if fixed else 0])
    return None


def value_type(annotation: Annotation) -> Annotation:
    """What stands under each key of a mapping; for anything else the type itself."""
    for one in members(annotation):
        if typing.get_origin(one) in (dict, Mapping):
            return typing.cast(Annotation, typing.get_args(one)[1])
    return annotation


@dataclass(frozen=True, slots=True)
class Spot:
    """Where in the file a validation error belongs."""

    path: Keys
    """As the user writes it: without the tags that pydantic puts between."""
    node: Node
    """The value itself, or the nearest one above where the key is missing."""
    parent: Annotation
    """The type that holds the last key."""


def locate(root: Node, annotation: Annotation, loc: Sequence[Key]) -> Spot:
    """Follow pydantic's path through the document and the types at once."""
    path: Keys = ()
    node, parent, current = root, annotation, annotation
    for key in loc:
        if key == "[key]":  # the key itself is what is wrong
            break
        tagged = [model for model in models(current) if tag(model) == key]
        if tagged and len(models(current)) > 1:
            current = parent = tagged[0]
            continue
        below = child(current, key)
        found = node.child(key)
        if below is None and found is None:
            path = (*path, key) if models(current) else path
            parent = current
            break
        path, parent, current = (*path, key), current, below
        node = found if found is not None else node
        if found is None:
            break
    return Spot(path, node, parent)


def walk(model: type[BaseModel], path: Keys = ()) -> Iterator[tuple[Keys, type[BaseModel], str, FieldInfo]]:
    """Every key below a model, depth first: (path, the model that owns it, name, field). Mappings show as `*`."""
    for name, field in model.model_fields.items():
        here = (*path, name)
        yield here, model, name, field
        inner = value_type(field.annotation)
        for below in models(inner):
            yield from walk(below, here if inner is field.annotation else (*here, "*"))


def secret_names(model: type[BaseModel]) -> frozenset[str]:
    """Names of all keys that hold secrets, anywhere below: each may be written as NAME_file instead."""
    return frozenset(name for _, _, name, field in walk(model) if SecretStr in members(field.annotation))
