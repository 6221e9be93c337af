"""One root, and three questions for each class: who retries, what dies, what must the operator see.

| class          | who retries          | what dies           | operator sees |
|----------------|----------------------|---------------------|---------------|
| ConfigError    | nobody               | the process (exit 2)| file, line, key, hint |
| SourceError    | the camera's pump    | this connection     | camera state + reason |
| LaneError      | the lane's link task | this attach (epoch) | worker state + reason |
| ModelError     | nobody               | this load           | the model, the node, why |
| EngineError    | the worker           | this batch          | error counter, log |
| OutOfMemory    | the worker, in halves| batches as large    | statistics, log |
| DeviceLost     | the supervisor       | the worker process  | restart counter, log |
| SinkError      | the sink itself      | this connection     | sink state + reason |
| AccountingError| nobody: a bug        | nothing             | imbalance metric, log |

A full ring is not an error: it is an outcome, counted.
"""


class FramegateError(Exception):
    """Root of all errors of this project."""


class ConfigError(FramegateError):
    """The configuration cannot be used. The message names file, line and key and says what to do."""


class SourceError(FramegateError):
    """A camera or file cannot be opened or read. The message has its URL redacted."""


class LaneError(FramegateError):
    """A lane could not be set up, or its peer is gone."""


class ModelError(FramegateError):
    """A model file cannot be used; the message names the file, the node and the reason."""


class EngineError(FramegateError):
    """One batch failed; the engine can go on."""


class OutOfMemory(EngineError):
    """No room for a batch of this size; a smaller one may fit."""


class DeviceLost(EngineError):
    """The device is gone for this process: it must end and be started again."""


class SinkError(FramegateError):
    """A sink cannot deliver now."""


class AccountingError(FramegateError):
    """A packet was settled twice, or never entered: a bug in this program."""
