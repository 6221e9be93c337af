"""The configuration as JSON Schema, for editors: completion, and mistakes shown while typing."""

from __future__ import annotations

from typing import Any

from app.config.deployment import Config


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a deployment file. Holds no value of any deployment.

    Each secret may also be given as NAME_file; editors are told so, and that one of the two is enough.
    """
    schema = Config.model_json_schema()
    for model in (schema, *schema["$defs"].values()):
        _add_secret_files(model)
        for field in model.get("properties", {}).values():
            field.pop("title", None)
            if isinstance(field.get("default"), dict):  # the fields of the section say it
                del field["default"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Framegate deployment",
    }


def _add_secret_files(model: dict[str, Any]) -> None:
    properties = model.get("properties", {})
    required = model.get("required", [])
    for name in [name for name, field in properties.items() if _is_secret(field)]:
        properties[f"{name}_file"] = {"type": "string", "description": f"File whose content is `{name}`."}
        if name in required:
            required.remove(name)
            model["oneOf"] = [{"required": [name]}, {"required": [f"{name}_file"]}]


def _is_secret(field: dict[str, Any]) -> bool:
    return any(one.get("format") == "password" for one in (field, *field.get("anyOf", [])))
