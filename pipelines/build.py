"""The one place that chooses implementations, DPU side (build_worker.py has the worker's).

Vendor libraries are imported late: a process imports only what its configuration asks for, so a DPU image needs no
TensorRT and a worker image no PyAV.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipelines.accounting import Ledger
from pipelines.contracts import Acked, Presence, Sink, SlotWriter, Source
from pipelines.egress import CameraOut
from pipelines.errors import EngineError, ModelError
from pipelines.event.episode import EpisodeOptions, EpisodeTracker
from pipelines.event.mask import rasterise
from pipelines.event.snapshot import SnapshotOptions, Snapshotter
from pipelines.framepath import FramePath, PathOptions, PathParts
from pipelines.gate.audit import Audit
from pipelines.gate.audit_control import ControlOptions
from pipelines.gate.audit_estimate import EstimateOptions
from pipelines.gate.audit_window import AuditOptions
from pipelines.gate.auditor import Auditor
from pipelines.gate.budget_terms import BudgetOptions
from pipelines.gate.motion import MotionGate, MotionOptions
from pipelines.gate.open import OpenGate
from pipelines.gate.packet import PacketGate, PacketGateOptions
from pipelines.gate.share import DecodeShare
from pipelines.inflight import InFlight
from pipelines.ingest import Pump, PumpParts
from pipelines.packetpath import PacketParts, PacketPath
from pipelines.prefilter.presence import PresenceGate, PresenceModel, PresenceOptions
from pipelines.prefilter.validity import Validity, ValidityOptions
from pipelines.preprocess.refit import refit
from pipelines.preprocess.thumbnail import THUMBNAIL_HW
from pipelines.source.backoff import Backoff, BackoffOptions
from pipelines.source.stagger import Stagger, StaggerOptions
from pipelines.source.watch import StreamWatch, WatchOptions
from pipelines.standby import Standby
from pipelines.standin.detector import OwnDetector
from pipelines.standin.options import DegradedOptions
from pipelines.transport.loopback import Loopback
from pipelines.transport.options import LaneOptions
from pipelines.values import Answer, CameraHealth, CameraState, Cause, Letterbox, Priority

if TYPE_CHECKING:
    from pipelines.model.split_ends import SplitEnds
    from pipelines.sink.encoding import Encoder
    from pipelines.source.file import FileOptions
    from pipelines.source.rtsp import RtspOptions


class CameraSpec(Protocol):
    """What a camera is made from; app/config/camera.py has it, with every PathOptions field beside."""

    @property
    def address(self) -> str: ...
    @property
    def is_file(self) -> bool: ...
    @property
    def priority(self) -> Priority: ...
    @property
    def path(self) -> Path: ...
    @property
    def rtsp(self) -> RtspOptions: ...
    @property
    def file(self) -> FileOptions: ...
    @property
    def watch(self) -> WatchOptions: ...
    @property
    def backoff(self) -> BackoffOptions: ...
    @property
    def gate(self) -> PacketGateOptions: ...
    @property
    def validity(self) -> ValidityOptions: ...
    @property
    def motion(self) -> MotionOptions: ...
    @property
    def presence(self) -> PresenceOptions: ...
    @property
    def episode(self) -> EpisodeOptions: ...
    @property
    def snapshot(self) -> SnapshotOptions: ...


@dataclass(frozen=True, slots=True)
class BuiltCamera:
    """One camera's two halves."""

    pump: Pump
    out: CameraOut


class CameraMaker:
    """Makes cameras; holds what they share: the in-flight table, the presence session, the opening times."""

    def __init__(
        self,
        inflight: InFlight,
        tell: Callable[[CameraHealth], None],
        stagger: StaggerOptions,
        budget: BudgetOptions,
        audit: Audit | None,
        presence: str,
        standby: Standby | None = None,
    ) -> None:
        """
        Args:
            presence: Name or path of the presence model, loaded with the first camera that asks for it.
            standby: Who answers while no worker does; None: nobody.
        """
        self.share = DecodeShare(budget)
        self._audit = audit
        self._inflight = inflight
        self._standby = standby
        self._tell = tell
        self._stagger = Stagger(stagger)
        self._snapshotter = functools.cache(Snapshotter)  # cameras of equal options share one directory and its bound
        self._presence_model = functools.cache(lambda: PresenceModel(_presence_path(presence)))

    def make(self, camera: str, spec: CameraSpec, ledger: Ledger) -> BuiltCamera:
        """Assemble one camera; nothing is started.

        Raises:
            ModelError: the presence model cannot be used.
        """
        source = _source(camera, spec, ledger)
        audit = self._audit if source.paced else None
        auditor = Auditor(audit, camera) if audit is not None else None
        path = FramePath(self._path_parts(camera, spec, ledger, source.paced, auditor))
        packets = PacketPath(
            PacketParts(
                camera=camera,
                priority=spec.priority,
                ledger=ledger,
                gate=PacketGate(spec.gate, source.paced) if spec.gate.enabled else OpenGate(),
                path=path,
                auditor=auditor,
                share=self.share if source.paced else None,
            )
        )
        pump = Pump(
            PumpParts(
                camera=camera,
                source=source,
                packets=packets,
                watch=lambda now_ns: StreamWatch(now_ns, spec.watch),
                backoff=Backoff(spec.backoff),
                turn_s=lambda: self._stagger.reserve(time.monotonic_ns()),
                tell=self._tell,
            )
        )
        out = CameraOut(
            ledger=ledger,
            tracker=EpisodeTracker(camera, spec.episode),
            least_score=spec.episode.keeping_score,
            attention=path.attention,
            paced=source.paced,
            audit=audit,
            wake=pump.wake,
            snapshotter=self._snapshotter(spec.snapshot) if spec.snapshot.mode != "off" else None,
        )
        return BuiltCamera(pump, out)

    def _path_parts(
        self, camera: str, spec: CameraSpec, ledger: Ledger, paced: bool, auditor: Auditor | None
    ) -> PathParts:
        ignore = rasterise(spec.episode.masks, THUMBNAIL_HW) if spec.episode.masks else None
        presence: Presence | None = None
        if spec.presence.enabled:
            presence = PresenceGate(self._presence_model(), spec.presence)
        return PathParts(
            camera=camera,
            options=PathOptions(**{name: getattr(spec, name) for name in PathOptions.model_fields}),
            ledger=ledger,
            motion=MotionGate(spec.motion, ignore) if spec.motion.enabled else None,
            validity=Validity(spec.validity) if spec.validity.enabled else None,
            presence=presence,
            presence_threshold=spec.presence.threshold,
            inflight=self._inflight,
            paced=paced,
            auditor=auditor,
            keep_frame=spec.snapshot.mode != "off",
            picture=functools.partial(self._picture, camera),
            standby=self._standby,
        )

    def _picture(self, camera: str, cause: Cause | None) -> None:
        reason = f"the picture is {cause.value}" if cause else "the picture is sound again"
        wall_ms = time.time_ns() // 1_000_000
        self._tell(CameraHealth(camera, CameraState.LIVE, wall_ms, reason, cause))


def _source(camera: str, spec: CameraSpec, ledger: Ledger) -> Source:
    if spec.is_file:
        from pipelines.source.file import FileSource

        return FileSource(spec.path, ledger, spec.file, name=camera)
    from pipelines.source.rtsp import RtspSource

    return RtspSource(spec.address, ledger, spec.rtsp, name=camera)


def _presence_path(name: str) -> Path:
    from pipelines.model.catalog import resolve_presence

    return resolve_presence(name)


@dataclass(frozen=True, slots=True)
class _Answered:
    """LaneEvents of the own detector's lane: answers alone, in its thread."""

    tell: Callable[[Answer, Letterbox | None], None]

    def attached(self, writer: SlotWriter) -> None: ...

    def answered(self, answer: Answer) -> None:
        self.tell(answer, None)

    def lost(self, tasks: Sequence[int], reason: str) -> None: ...


def own_detector(
    options: DegradedOptions, answered: Callable[[Answer, Letterbox | None], None]
) -> tuple[OwnDetector, SlotWriter] | None:
    """The detector of this process and its lane, running; None: none is configured. Takes tenths of a second; blocks.

    Args:
        answered: Told of each task, in the detector's thread, with the Letterbox of what it saw where that is another
            than the task's own.

    Raises:
        ModelError: the model cannot be found, folded or run.
    """
    if options.detector is None:
        return None
    from pipelines.model.catalog import resolve
    from pipelines.worker.engines.onnx import OnnxEngine

    engine = OnnxEngine(resolve(options.detector), threads=1, max_batch=1)
    detector = OwnDetector(engine, options.cores, refit, lambda own: answered(own.answer, own.fit))
    lane = Loopback(
        engine.card,
        LaneOptions(slots=options.slots, reserved_high=0, reserved_normal=0),
        _Answered(answered),
        detector.wake,
    )
    lane.attach()
    try:
        detector.start(lane.reader)
    except EngineError as error:
        raise ModelError(f"degraded.detector: {options.detector} cannot run: {error}") from error
    return detector, lane.writer


def split_ends(detector: str) -> SplitEnds | None:
    """The DPU's parts of a split detector, not loaded yet; None: it is a whole one."""
    from pipelines.model.split_ends import SplitEnds
    from pipelines.model.split_parts import is_split

    return SplitEnds(Path(detector)) if is_split(detector) else None


def audit(audited: AuditOptions, estimate: EstimateOptions, control: ControlOptions) -> Audit | None:
    """The audit of this process; None when it is switched off."""
    return Audit(audited, estimate, control, os.cpu_count() or 1) if audited.enabled else None


def sinks(configs: Mapping[str, Any], acked: Acked) -> list[Sink]:
    """The configured sinks, by their `type`."""
    return [_sink(name, config, acked) for name, config in configs.items()]


def _sink(name: str, config: Any, acked: Acked) -> Sink:
    encoder = _encoder("protobuf" if config.type == "grpc" else getattr(config, "encoding", "json"))
    match config.type:
        case "jsonl":
            from pipelines.sink.jsonl import JsonlSink

            return JsonlSink(config, encoder, acked, name=name)
        case "kafka":
            from pipelines.sink.kafka import KafkaSink

            return KafkaSink(config, encoder, acked, name=name)
        case "mqtt":
            from pipelines.sink.mqtt import MqttSink

            return MqttSink(config, encoder, acked, name=name)
        case "grpc":
            from pipelines.sink.grpc_stream import GrpcSink

            return GrpcSink(config, encoder, name=name)
    raise ValueError(f"no sink of type {config.type}")


def _encoder(form: str) -> Encoder:
    match form:
        case "protobuf":
            from pipelines.event.protobuf import ProtobufEncoder

            return ProtobufEncoder()
        case "deepstream":
            from pipelines.sink.deepstream import DeepStreamEncoder

            return DeepStreamEncoder(_encoder("json"))
    from pipelines.event.payload import JsonEncoder

    return JsonEncoder()
