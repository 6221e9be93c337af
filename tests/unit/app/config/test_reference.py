"""What is written about the options: complete, true, and up to date."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from app.config.deployment import Config, load
from app.config.reference import files
from app.config.schema import json_schema
from app.config.shape import models, tag, value_type, walk

ROOT = Path(__file__).parents[4]
ENVIRON = {"CAMERA_USER": "viewer", "CAMERA_PASSWORD": "x", "FRAMEGATE_TOKEN": "12345678"}


@pytest.mark.parametrize("name", ["docs/configuration.md", "configs/full.yaml", "configs/schema/config.schema.json"])
def test_generated_files_are_up_to_date(name: str) -> None:
    assert (ROOT / name).read_text() == files()[name], "run: python -m app.config.reference"


def test_every_option_is_documented() -> None:
    """A description of its own, so that docs, schema and errors can say what the key is for."""
    bare = [".".join(map(str, path)) for path, _, _, field in walk(Config) if len(field.description or "") < 8]

    assert bare == []


def test_every_option_stands_in_the_reference() -> None:
    text = (ROOT / "docs/configuration.md").read_text()
    keys = {re.sub(r"\[.*", "", key) for key in re.findall(r"^\| `([\w.\[\]]+)` ", text, re.MULTILINE)}
    sections = set(re.findall(r"^## `(\w+)`", text, re.MULTILINE))

    leaves = {path[-1] for path, _, _, field in walk(Config) if not models(value_type(field.annotation))}
    assert {key.split(".")[-1] for key in keys} >= leaves
    assert sections == set(Config.model_fields)


@pytest.mark.parametrize("name", ["minimal.yaml", "full.yaml"])
def test_examples_are_sound(name: str) -> None:
    config = load(ROOT / "configs" / name, ENVIRON)

    assert config.cameras["entrance"].address == "rtsp://viewer:x@192.0.2.10:554/stream1"


@pytest.mark.parametrize("name", ["minimal.yaml", "full.yaml"])
def test_examples_fit_the_schema(name: str) -> None:
    """As an editor reads them."""
    jsonschema.validate(yaml.safe_load((ROOT / "configs" / name).read_text()), json_schema())


def test_the_schema_is_a_schema_and_finds_mistakes() -> None:
    schema = json.loads((ROOT / "configs/schema/config.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    def wrong(text: str) -> bool:
        return not validator.is_valid(yaml.safe_load(text))

    assert not wrong("cameras: {a: {url_file: x, password_file: y}}")
    assert wrong("cameras: {a: {}}")
    assert wrong("cameras: {a: {url: x, url_file: y}}")
    assert wrong("cameras: {a: {url: x, nonsense: 1}}")
    assert wrong("cameras: {a: {url: x, analyse_fps: fast}}")
    assert wrong("sinks: {a: {type: nonsense}}")


def test_full_example_has_every_key_at_its_default() -> None:
    """Commented out counts: those are the keys without a default."""
    text = (ROOT / "configs/full.yaml").read_text()
    written = re.sub(r"^( *)# ( *\w+:)", r"\1\2", text, flags=re.MULTILINE)
    keys = set(re.findall(r"^ *(\w+):", written, re.MULTILINE))
    assert keys >= {path[-1] for path, _, _, _ in walk(Config)}

    config = load(ROOT / "configs/full.yaml", ENVIRON)
    assert config.model_copy(update={"cameras": {}, "sinks": {}}) == Config()


def test_every_sink_type_stands_in_the_full_example() -> None:
    types = {tag(model) for model in models(value_type(Config.model_fields["sinks"].annotation))}

    assert {sink.type for sink in load(ROOT / "configs/full.yaml", ENVIRON).sinks.values()} == types
