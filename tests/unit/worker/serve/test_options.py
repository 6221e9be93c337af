"""What a configuration may say, and what would let strangers in."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from pipelines.worker.serve import options as module
from pipelines.worker.serve.options import ServeOptions

FAR = {"host": "0.0.0.0", "port": 1}
TLS = {"cert_file": "a", "key_file": "b"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"grpc": FAR | {"token": "12345678"}}, "set tls"),
        ({"rest": FAR | {"allow_plaintext": True}}, "set token"),
        ({"rest": FAR | {"tls": TLS}}, "set token"),
        ({"grpc": {"token": "short"}}, "at least 8"),
        ({"grpc": FAR | {"tls": TLS, "token": "12345678"}, "shared_memory": True}, "for this machine alone"),
    ],
)
def test_what_would_let_strangers_in(given: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        ServeOptions.model_validate(given)


def test_nothing_listens_unless_asked_for() -> None:
    assert not ServeOptions().enabled
    assert ServeOptions.model_validate({"rest": {}}).enabled


def test_the_token_does_not_show() -> None:
    assert "canary-token" not in repr(ServeOptions.model_validate({"grpc": {"token": "canary-token"}}))


def test_every_option_is_documented() -> None:
    models = [
        m for m in vars(module).values() if isinstance(m, type) and issubclass(m, BaseModel) and m is not BaseModel
    ]
    assert [f"{m.__name__}.{n}" for m in models for n, field in m.model_fields.items() if not field.description] == []
