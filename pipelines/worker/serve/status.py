"""Why a request was refused: one code, and what it is called on each wire."""

from __future__ import annotations

from enum import Enum

from pipelines.errors import FramegateError
from pipelines.values import AnswerCode


class Code(Enum):
    """gRPC's name of a status, and the HTTP status that stands for it (google/rpc/code.proto)."""

    INVALID_ARGUMENT = 400
    """The request itself is wrong: a shape, a datatype, a name that the model does not have."""
    UNAUTHENTICATED = 401
    NOT_FOUND = 404
    """No such model, version or region."""
    ALREADY_EXISTS = 409
    RESOURCE_EXHAUSTED = 429
    """A bound of this server is reached: requests at once, models, regions, bytes of a message."""
    INTERNAL = 500
    """The engine failed at it."""
    UNIMPLEMENTED = 501
    UNAVAILABLE = 503
    """Not now: the model is not loaded, or the process is going."""
    DEADLINE_EXCEEDED = 504
    """It could not be answered in time, and was refused before it ran where that was known."""

    @property
    def http(self) -> int:
        """HTTP status."""
        return self.value


class RequestError(FramegateError):
    """One request is refused. The client may retry, nothing dies, the operator sees a counter."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


def check_code(code: AnswerCode) -> None:
    """Raise what the worker's answer means to a client; nothing for OK."""
    match code:
        case AnswerCode.OK:
            return
        case AnswerCode.LATE:
            reason = "refused before it ran: it could not be answered in time, or the queue is full of more urgent work"
            raise RequestError(Code.DEADLINE_EXCEEDED, reason)
        case AnswerCode.BAD_INPUT:
            raise RequestError(Code.INVALID_ARGUMENT, "the model was replaced by another: ask for its metadata again")
        case AnswerCode.WATCHDOG:
            raise RequestError(Code.UNAVAILABLE, "the engine hangs and is being started again")
        case AnswerCode.ENGINE_FAILED | AnswerCode.CHECKSUM | AnswerCode.BAD_OUTPUT:
            raise RequestError(Code.INTERNAL, f"the engine failed: {code.name.lower()}")
