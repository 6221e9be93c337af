"""What the options say of themselves, as files: the reference, a full example, the JSON Schema.

`python -m app.config.reference` writes them anew; a test says when they are out of date.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from app.config.camera import CameraConfig, CameraDefaults
from app.config.deployment import Config
from app.config.example import full_example, yaml_text
from app.config.schema import json_schema
from app.config.shape import Annotation, members, models, tag, value_type

_BOUNDS = ((Ge, "≥", "ge"), (Gt, ">", "gt"), (Le, "≤", "le"), (Lt, "<", "lt"))


def reference() -> str:
    """docs/configuration.md: every key with its type, default and meaning."""
    lines = [_INTRODUCTION]
    for name, field in Config.model_fields.items():
        sections = models(value_type(field.annotation))
        lines.append(f"\n## `{name}`\n\n{field.description}\n")
        if name == "cameras":
            lines.append("`cameras.ID.…`: every key of [`defaults`](#defaults), and:\n")
            lines += _table([("url", CameraConfig.model_fields["url"])])
        elif not sections:
            lines += _table([(name, field)])
        for section in sections if name != "cameras" else ():
            title = tag(section) if len(sections) > 1 else None
            if title is not None:
                lines.append(f"\n### type `{title}`\n")
            lines += _table(_rows(section, ""))
    return "\n".join(lines) + "\n"


def _rows(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    """(dotted key, field) of every leaf, sections flattened."""
    for name, field in sorted(model.model_fields.items(), key=lambda item: item[0] != "type"):
        below = models(field.annotation)
        if not below or type(None) in typing.get_args(field.annotation):
            yield f"{prefix}{name}", field
        for section in below:
            yield from _rows(section, f"{prefix}{name}.")


def _table(rows: typing.Iterable[tuple[str, FieldInfo]]) -> list[str]:
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key, field in rows:
        kind = _kind(field.annotation) + _limits(field)
        default = "required" if field.is_required() else f"`{yaml_text(field.get_default(call_default_factory=True))}`"
        if default in ("`null`", '`""`', "`[]`"):
            default = ""
        meaning = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{key}` | {kind} | {default} | {meaning} |")
    return lines


def _kind(annotation: Annotation) -> str:
    """A type in words."""
    words: dict[object, str] = {
        str: "text", int: "whole number", float: "number", bool: "true/false", Path: "path", SecretStr: "secret text",
    }  # fmt: skip
    names = []
    for one in members(annotation):
        origin, arguments = typing.get_origin(one), typing.get_args(one)
        if origin is typing.Literal:
            names.append(" ".join(f"`{choice}`" for choice in arguments))
        elif origin in (tuple, list, Mapping, dict):
            names.append("mapping" if origin in (Mapping, dict) else f"list of {_kind(arguments[0])}")
        elif isinstance(one, type) and issubclass(one, Enum):
            names.append(" ".join(f"`{choice}`" for choice in _enum_choices(one)))
        else:
            names.append("section" if models(one) else words.get(one, str(one)))
    return " or ".join(names)


def _enum_choices(kind: type[Enum]) -> list[str]:
    named = CameraDefaults.model_fields["priority"].annotation is kind
    return [str(choice.name.lower() if named else choice.value) for choice in kind]


def _limits(field: FieldInfo) -> str:
    found = [
        f"{sign} {getattr(one, name):g}"
        for one in field.metadata
        for kind, sign, name in _BOUNDS
        if isinstance(one, kind)
    ]
    lengths = [f"at least {one.min_length} long" for one in field.metadata if isinstance(one, MinLen)]
    lengths += [f"at most {one.max_length} long" for one in field.metadata if isinstance(one, MaxLen)]
    return f", {', '.join(found + lengths)}" if found or lengths else ""


def files() -> dict[str, str]:
    """The generated files, by path from the project's root."""
    return {
        "docs/configuration.md": reference(),
        "configs/full.yaml": full_example(),
        "configs/schema/config.schema.json": json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n",
    }


_INTRODUCTION = """# Configuration

<!-- written by `python -m app.config.reference`; do not edit -->

One YAML file per deployment. `framegate check FILE` names every mistake with file, line, key and what to do, and exits
with 2; `framegate run FILE` does the same before it starts. `configs/minimal.yaml` is the least one,
`configs/full.yaml` has every key, `configs/schema/config.schema.json` is for editors:

    # yaml-language-server: $schema=PATH/config.schema.json

* **Defaults.** What stands in `defaults:` holds for every camera; a camera's own keys win, key by key. Lists replace.
* **Camera files.** `camera_files:` names further files, each with a `cameras:` mapping and nothing else.
* **Environment.** `${NAME}` and `${NAME:-default}` in any value; `$${` is a literal `${`.
* **Secrets.** A key of type *secret text* may be given as `NAME_file: PATH` instead: the content of the file (without
  the line break at its end), relative to the configuration file. Secrets appear in no log, error, metric or report.
* **Values.** A value is read as what its key wants: `password: 0123` is that text, `enabled: yes` is true.
* **Paths** are relative to the working directory.
* **Reload.** On SIGHUP the file is read again: cameras that changed restart, the others go on. Everything else needs a
  restart, and the log says so. A file with mistakes changes nothing.
"""


def main() -> None:
    """Write the files."""
    root = Path(__file__).parents[2]
    for name, text in files().items():
        (root / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
