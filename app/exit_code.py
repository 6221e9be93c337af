"""What the exit code of a framegate process means, to a shell, a service manager or our own supervisor."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    DONE = 0
    FAILED = 1
    CONFIG = 2
    """The configuration or the command line is wrong: starting again does not help."""
    MODEL = 3
    """A model cannot be used: starting again does not help."""
    TRY_AGAIN = 75
    """sysexits' EX_TEMPFAIL: a device was lost, or a second signal forced the end."""
