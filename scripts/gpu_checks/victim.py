"""The process that killed.py kills: batches one after the other, a line for each, until it is stopped."""

from __future__ import annotations

import sys

from scripts.gpu_checks.candidates import by_name
from scripts.gpu_checks.subject import Settings, colors, pictures


def main(name: str, model: str, max_batch: str) -> None:
    """Never returns by itself."""
    from pathlib import Path

    engine = by_name(name, Settings(Path(model), int(max_batch), 1.0)).open(1, True)
    planes, color = pictures(engine.card, engine.max_batch), colors(engine.card, engine.max_batch)
    while True:
        sys.stdout.write("running\n")
        sys.stdout.flush()
        engine.infer(list(planes), color)


if __name__ == "__main__":
    main(*sys.argv[1:])
