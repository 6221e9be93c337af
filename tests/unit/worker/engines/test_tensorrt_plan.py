"""A plan file is believed only when it is whole and made for this very model, library and device."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from pipelines.errors import ModelError
from pipelines.worker.engines.tensorrt_plan import Description, Key, Profile, Tensor, pack, require_key, unpack

KEY = Key("ab" * 32, "rtx", "1.7.1", "8.9", "", Profile())
PLAN = bytes(range(256)) * 4
DESCRIPTION = Description(
    KEY,
    (Tensor("planes", "input", "uint8", (-1, 96, 64)),),
    {"float16": 3},
    hashlib.sha256(PLAN).hexdigest(),
    1.5,
    300,
)


def test_what_is_packed_comes_back() -> None:
    assert unpack(pack(DESCRIPTION, PLAN)) == (DESCRIPTION, PLAN)


@pytest.mark.parametrize("cut", [0, 5, 12, 40, 600])
def test_a_file_cut_short_is_refused(cut: int) -> None:
    content = pack(DESCRIPTION, PLAN)
    with pytest.raises(ModelError):
        unpack(content[:cut])


def test_a_flipped_bit_of_the_plan_is_noticed() -> None:
    content = bytearray(pack(DESCRIPTION, PLAN))
    content[-100] ^= 1
    with pytest.raises(ModelError, match="corrupt or cut short"):
        unpack(bytes(content))


def test_a_description_of_another_shape_is_refused() -> None:
    text = b'{"key": 3, "tensors": []}'
    with pytest.raises(ModelError, match="description cannot be read"):
        unpack(b"FGPLAN1\n" + len(text).to_bytes(8, "little") + text)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"capability": "12.0"}, "capability: built for 8.9, here 12.0"),
        ({"version": "1.8.0"}, "version: built for 1.7.1, here 1.8.0"),
        ({"device": "Some GPU"}, "device"),
        ({"profile": Profile(max_batch=16)}, "profile"),
    ],
)
def test_a_plan_for_something_else_says_what_differs(other: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        require_key(KEY, replace(KEY, **other))


def test_every_part_of_the_key_makes_another_file() -> None:
    others: dict[str, Any] = {
        "model_sha256": "cd" * 32,
        "flavour": "tensorrt",
        "version": "2",
        "capability": "8.0",
        "device": "x",
        "profile": Profile(opt_batch=4),
        "form": 99,
    }
    assert others.keys() == set(Key.__dataclass_fields__)
    digests = {replace(KEY, **{name: value}).digest for name, value in others.items()}
    assert len(digests | {KEY.digest}) == len(others) + 1
