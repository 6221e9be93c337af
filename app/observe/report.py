"""The report: the account of a run, as a JSON object. Written at exit and on request."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from app.observe.snapshot import CameraObserved, ObservedSnapshot, WorkerObserved
from pipelines.gate.audit import AuditSnapshot
from pipelines.standby import StandbySnapshot


def build_report(snapshot: ObservedSnapshot) -> dict[str, Any]:
    """The snapshot as plain JSON values. Keys are only ever added; latencies without data are left out."""
    latencies = {name: one.summary_ms() for name, one in snapshot.latencies.items() if one.count}
    return {
        "time_ms": snapshot.time_ms,
        "uptime_s": round(snapshot.uptime_s, 3),
        "cameras": {name: _camera(camera) for name, camera in snapshot.cameras.items()},
        "alerts": snapshot.alerts,
        "latency_ms": latencies,
        "loop_lag_ms": snapshot.loop_lag.summary_ms(),
        "workers": {name: worker_state(worker) for name, worker in snapshot.workers.items()},
        "sinks": {name: _fields(sink) for name, sink in snapshot.sinks.items()},
        "audit": _audit(snapshot.audit) if snapshot.audit else None,
        "budget": _fields(snapshot.budget) if snapshot.budget else None,
        "degraded": _standby(snapshot.standby) if snapshot.standby else None,
        "counters": dict(snapshot.counters),
        "cpu_s": round(snapshot.cpu_s, 3),
    }


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write atomically: a reader sees the old file or the whole new one. Blocks.

    Raises:
        OSError: the directory cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            json.dump(report, stream, indent=2)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def camera_state(camera: CameraObserved) -> dict[str, Any]:
    """One camera's state, without its account: what `/cameras` shows."""
    return {
        "state": camera.state.value,
        "reason": camera.reason,
        "region": camera.region,
        "url": camera.url,
        "picture": camera.picture.value if camera.picture else None,
        "connects": camera.connects,
        "alerts": camera.alerts,
        "deaths": camera.deaths,
    }


def worker_state(worker: WorkerObserved) -> dict[str, Any]:
    """One worker, its lane and the way to it: what `/workers` shows.

    `flow.state`: idle, busy or retry, for a task of normal priority; see pipelines/transport/flow.py.
    """
    return {
        "state": worker.state.value,
        "reason": worker.reason,
        "restarts": worker.restarts,
        "model": worker.model,
        "carrier": worker.link.carrier if worker.link else "",
        "choice": worker.link.choice if worker.link else "",
        "flow": _fields(worker.flow) if worker.flow else None,
        "lane": _fields(worker.lane) if worker.lane else None,
        "link": _fields(worker.link) if worker.link else None,
    }


def _camera(camera: CameraObserved) -> dict[str, Any]:
    ledger = camera.ledger
    causes: dict[str, dict[str, int]] = {}
    for (outcome, cause), count in sorted(ledger.causes.items()):
        causes.setdefault(outcome.value, {})[cause.value] = count
    return {
        "packets": ledger.packets,
        "outcomes": {outcome.value: count for outcome, count in sorted(ledger.outcomes.items())},
        "in_flight": ledger.in_flight,
        "imbalance": ledger.imbalance,
        "causes": causes,
        "due": ledger.due,
        "decoded": camera.decoded,
        "decode_s": round(camera.decode_s, 3),
        "catch_up_s": round(camera.catch_up_s, 3),
        "gate": _fields(camera.gate) if camera.gate else None,
        **camera_state(camera),
    }


def _audit(audit: AuditSnapshot) -> dict[str, Any]:
    """What the gates miss, by the audit: `recall` is null while the evidence is insufficient."""
    chain = audit.estimate.chain
    return {
        "recall": round(chain.value, 4) if chain.sufficient else None,
        "interval": [round(chain.interval.low, 4), round(chain.interval.high, 4)],
        "sufficient": chain.sufficient,
        "found": chain.found,
        "missed": round(chain.missed, 2),
        "windows": chain.windows,
        "frames": {
            "packets": audit.frames.packets,
            "outcomes": {outcome.value: count for outcome, count in sorted(audit.frames.outcomes.items())},
            "in_flight": audit.frames.in_flight,
            "imbalance": audit.frames.imbalance,
        },
        "spent_s": round(audit.spent_s, 3),
    }


def _standby(standby: StandbySnapshot) -> dict[str, Any]:
    return _fields(standby) | {"answerer": standby.answerer.value, "degraded_s": round(standby.degraded_s, 3)}


def _fields(value: Any) -> dict[str, Any]:
    """A flat frozen record's fields."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}
