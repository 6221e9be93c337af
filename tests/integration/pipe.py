"""The whole pipe for tests: a DPU process's insides in this process, its worker a real process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from app.config.deployment import load
from app.dpu import Dpu
from app.measure import Measure
from app.observe.log import get_logger
from app.observe.report import build_report
from pipelines import build
from pipelines.contracts import Decoder, Sink, Source, Stream
from pipelines.sink.memory import MemoryOptions, MemorySink
from pipelines.values import FrameResult, Packet, StreamInfo
from tests.fakes import sei
from tests.fakes.scene import TruthBox
from tests.fakes.scene_match import Agreement, Found, compare

Config = dict[str, Any]
QUIET: Config = {
    "http": {"enabled": False},
    "drain_s": 10,
    "worker": {"threads": 1},
}


@asynccontextmanager
async def running(
    directory: Path, config: Config, sinks: Sequence[Sink] = (), until_end: bool = False
) -> AsyncIterator[Dpu]:
    """A DPU from a YAML file, as `framegate run` would; drained and checked at the end: every account balances."""
    path = directory / "framegate.yaml"
    path.write_text(yaml.safe_dump(QUIET | config))
    loaded = load(path, {})
    dpu = Dpu(
        loaded, Measure(get_logger("test")), reload=lambda: load(path, {}), extra_sinks=sinks, stop_when_ended=until_end
    )
    task = asyncio.create_task(dpu.run())
    try:
        yield dpu
        if until_end:
            await task
    finally:
        dpu.stop()
        await task
    assert balanced(dpu)
    assert all(camera["in_flight"] == 0 for camera in build_report(dpu.observe())["cameras"].values())


def balanced(dpu: Dpu) -> bool:
    return all(ledger.imbalance == 0 for ledger in dpu.cameras.ledgers().values())


async def until(condition: Callable[[], bool], timeout_s: float = 30, what: str = "the condition") -> None:
    try:
        async with asyncio.timeout(timeout_s):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{what} did not come true within {timeout_s:g} s") from None


async def run_files(directory: Path, config: Config) -> tuple[Dpu, MemorySink]:
    """Files to their end, as fast as they can be read; every frame result is kept."""
    memory = MemorySink(MemoryOptions(results=20_000, alerts=10_000))
    async with running(directory, config, [memory], until_end=True) as dpu:
        pass
    return dpu, memory


# --- truth by frame number -------------------------------------------------------------------------------------------


class Stamps:
    """Frame numbers from the SEI of every packet that was read, by camera and the packet's number in the ledger."""

    def __init__(self) -> None:
        self._frame: dict[tuple[str, int], int] = {}

    def note(self, camera: str, packet: Packet) -> None:
        stamp = sei.read(memoryview(packet.handle))
        if stamp is not None:
            self._frame[camera, packet.sequence] = stamp[0]

    def frame(self, camera: str, sequence: int) -> int | None:
        return self._frame.get((camera, sequence))

    def tap(self) -> Callable[..., Source]:
        """A stand-in for build._source that notes every packet on its way."""
        original = build._source

        def tapped(camera: str, *arguments: Any) -> Source:
            return _TappedSource(original(camera, *arguments), lambda packet: self.note(camera, packet))

        return tapped


class _TappedSource:
    def __init__(self, inner: Source, note: Callable[[Packet], None]) -> None:
        self._inner = inner
        self._note = note

    @property
    def paced(self) -> bool:
        return self._inner.paced

    def open(self) -> Stream:
        return _TappedStream(self._inner.open(), self._note)

    def interrupt(self) -> None:
        self._inner.interrupt()


class _TappedStream:
    def __init__(self, inner: Stream, note: Callable[[Packet], None]) -> None:
        self._inner = inner
        self._note = note

    @property
    def info(self) -> StreamInfo:
        return self._inner.info

    def read(self, wanted_ns: int = 0) -> Packet | None:
        packet = self._inner.read(wanted_ns)
        if packet is not None:
            self._note(packet)
        return packet

    def decoder(self) -> Decoder:
        return self._inner.decoder()

    def interrupt(self) -> None:
        self._inner.interrupt()

    def close(self) -> None:
        self._inner.close()


def found_in(result: FrameResult) -> list[Found]:
    detections = result.detections
    return [
        Found(result.class_names[label], (float(box[0]), float(box[1]), float(box[2]), float(box[3])))
        for box, label in zip(detections.xyxy, detections.classes, strict=True)
    ]


def found_in_record(record: Mapping[str, Any]) -> list[Found]:
    return [Found(name, tuple(box)) for name, box in zip(record["classes"], record["boxes"], strict=True)]


def agreement(frames: Iterable[tuple[int, Sequence[Found]]], truth: Sequence[Sequence[TruthBox]]) -> Agreement:
    """Compare (frame number, detections) with the scene's truth."""
    return compare((number, truth[number], found) for number, found in frames)
