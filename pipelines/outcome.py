"""What can become of a packet, why, and what a worker can answer: the words of every account."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Outcome(StrEnum):
    """What became of one packet. Each packet gets exactly one. See accounting.py for the law."""

    ASLEEP = "asleep"
    """Gated before the decoder."""
    UNDECODABLE = "undecodable"
    """Corrupt, concealed, parameter sets only, second field, flushed, never output (see Cause)."""
    PACED = "paced"
    """Above the analysed rate."""
    INVALID = "invalid"
    """The picture says nothing: black, white, frozen, covered."""
    STILL = "still"
    """The motion gate saw no change."""
    EMPTY = "empty"
    """The presence model saw nobody."""
    RING_FULL = "ring_full"
    LATE = "late"
    """Could not make its deadline, and was refused before the work was done."""
    SHED = "shed"
    """Wanted, and refused by the decode budget (see Cause)."""
    STOPPED = "stopped"
    """In flight when its camera was removed or the process drained."""
    FAILED = "failed"
    """The work was tried and failed (see Cause)."""
    DEGRADED = "degraded"
    """Answered by a model of the DPU's own (see Cause), as no worker did."""
    INFERRED = "inferred"
    """Answered by a worker, with boxes or none."""


class Cause(StrEnum):
    """Why an outcome was `undecodable`, `invalid`, `late`, `shed` or `failed`, and who answered where it was
    `degraded`: a label beside the outcome's counter."""

    CORRUPT = "corrupt"
    NO_KEY_FRAME = "no_key_frame"
    """Nothing to begin with; of `shed`: the budget has room for the camera again, from the next key frame on."""
    CONCEALED = "concealed"
    PARAMETER_SETS = "parameter_sets"
    SECOND_FIELD = "second_field"
    FLUSHED = "flushed"
    NEVER_OUTPUT = "never_output"
    BLACK = "black"
    WHITE = "white"
    FROZEN = "frozen"
    COVERED = "covered"
    OVER_BUDGET = "over_budget"
    """Of `shed`: no room for this camera."""
    PUT_BACK = "put_back"
    """Of `shed`: it was decoding; others are worth more for the cost, or waited too long."""
    BEHIND = "behind"
    """Of `shed`: the camera's own thread was so far behind that its answers would have come late."""
    NO_TURN = "no_turn"
    """Of `shed`: other cameras were catching up, and this packet would have waited too long for its camera's turn; or
    it came within the second after that, or after `behind`, in which its camera does not ask for one."""
    AT_PUBLISH = "at_publish"
    AT_WORKER = "at_worker"
    NO_WORKER = "no_worker"
    PEER_LOST = "peer_lost"
    ENGINE = "engine"
    WATCHDOG = "watchdog"
    BAD_INPUT = "bad_input"
    CHECKSUM = "checksum"
    BAD_OUTPUT = "bad_output"
    SILENT = "silent"
    INTERNAL = "internal"
    DETECTOR = "detector"
    """Of `degraded`: the DPU's own detector answered."""
    PRESENCE = "presence"
    """Of `degraded`: the presence score alone did."""


class AnswerCode(IntEnum):
    """The worker's answer to one task. 0 is success; the number travels in the slot."""

    OK = 0
    LATE = 1
    """Refused before running: it could not have made its deadline."""
    ENGINE_FAILED = 2
    WATCHDOG = 3
    """The batch ran longer than the watchdog allows."""
    BAD_INPUT = 4
    """Header or payload does not fit the model."""
    CHECKSUM = 5
    BAD_OUTPUT = 6
    """The model answered what cannot be: values that are not finite, or rows of another shape than its card's."""


FAILED_CODES = frozenset({AnswerCode.ENGINE_FAILED, AnswerCode.WATCHDOG, AnswerCode.BAD_OUTPUT})
"""The worker tried, and it is the worker's fault: another model may do better."""
