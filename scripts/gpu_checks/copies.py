"""How pictures reach the device: pinning the ring, the gather, bandwidth, and what of it hides behind the work."""

from __future__ import annotations

import threading
import time

import numpy as np

from pipelines.values import U8
from pipelines.worker.engines.device import DeviceBytes
from scripts.gpu_checks.ring import ring
from scripts.gpu_checks.subject import Figures, Subject, colors, percentile, pictures

_COPY_BYTES = 64 << 20


def check(subject: Subject) -> Figures:
    """`ok`: rows follow their payloads, whatever the way they came; a pinned ring is never copied by the host."""
    with ring(subject.card, pictures(subject.card)) as (region, payloads):
        staged_rows, staged_ms = _one_way(subject, payloads)
        pinned = subject.engine.pin(region)
        before = subject.engine.statistics().staged
        pinned_rows, pinned_ms = _one_way(subject, payloads)
        staged = subject.engine.statistics().staged - before
        turned = _turned(subject, payloads)
        on_device = _on_device(subject, payloads)
        overlap = _overlap(subject, payloads)
        subject.engine.unpin(region)
    return {
        "ok": bool(np.array_equal(staged_rows, pinned_rows)) and turned and on_device and (not pinned or staged == 0),
        "ring_pinned": pinned,
        "host_copies_when_pinned": staged,
        "gather_follows": turned,
        "device_gather_follows": on_device,
        "upload_ms_staged": staged_ms,
        "upload_ms_pinned": pinned_ms,
        "pinned_gb_s": bandwidth_gb_s(subject),
        **overlap,
    }


def bandwidth_gb_s(subject: Subject) -> float:
    """Host to device, one large pinned copy: the copy floor's measure. Median of five."""
    device = subject.device
    with device.active():
        nbytes = min(_COPY_BYTES, device.free_bytes() // 4)
        host, address, stream = device.pinned(nbytes), device.allocate(nbytes), device.stream()
        before, after = device.event(), device.event()
        times = []
        for _ in range(6):
            stream.record(before)
            stream.upload(address, host)
            stream.record(after)
            stream.synchronize()
            times.append(after.elapsed_ms(before))
        for part in (before, after, stream):
            part.close()
        device.free(address)
    return round(nbytes / percentile(times[1:], 50) / 1e6, 2)


def _one_way(subject: Subject, payloads: list[U8]) -> tuple[U8, float]:
    """Rows of the largest batch, and the median device time of its upload, ms."""
    size = min(subject.engine.max_batch, len(payloads))
    color, times = colors(subject.card, size), []
    for _ in range(5):
        rows = subject.engine.infer(payloads[:size], color)
        last = subject.engine.statistics().last
        assert last is not None
        times.append(last.upload_ms)
    return rows.view(np.uint8), percentile(times, 50)


def _turned(subject: Subject, payloads: list[U8]) -> bool:
    """A batch in another order gives the same rows in that order."""
    size = min(subject.engine.max_batch, len(payloads))
    color = np.stack([colors(subject.card, 1)[0]] * size)
    rows = subject.engine.infer(payloads[:size], color)
    back = subject.engine.infer(payloads[:size][::-1], color)[::-1]
    return bool(np.allclose(rows[..., 4], back[..., 4], atol=1e-3))


def _on_device(subject: Subject, payloads: list[U8]) -> bool:
    """Payloads that lie in device memory, as an RDMA lane leaves them."""
    device, nbytes = subject.device, subject.card.payload_bytes
    color = colors(subject.card, 1)
    with device.active():
        address, stream, host = device.allocate(nbytes), device.stream(), device.pinned(nbytes)
        np.copyto(host, payloads[1])
        stream.upload(address, host)
        stream.synchronize()
    rows = subject.engine.infer([DeviceBytes(address, nbytes)], color)
    same = np.allclose(rows[..., 4], subject.engine.infer([payloads[1]], color)[..., 4], atol=1e-3)
    with device.active():
        device.free(address)
        stream.close()
    return bool(same)


def _overlap(subject: Subject, payloads: list[U8]) -> Figures:
    """Uploads of one lane against the work of the other: which share of the upload's time costs nothing.

    hidden = (sum of uploads + sum of work - time passed) / sum of uploads, with as many threads as lanes.
    """
    size, color = min(8, subject.engine.max_batch), colors(subject.card, min(8, subject.engine.max_batch))
    uploads, works, lock = [], [], threading.Lock()
    until = time.monotonic() + subject.settings.seconds

    def feed(offset: int) -> None:
        turn = offset
        while time.monotonic() < until:
            batch = [payloads[(turn * size + i) % len(payloads)] for i in range(size)]
            subject.engine.infer(batch, color)
            last = subject.engine.statistics().last
            turn += 1
            with lock:
                assert last is not None
                uploads.append(last.upload_ms)
                works.append(last.compute_ms)

    alone = percentile(_alone(subject, payloads, size), 50)
    started_ms = subject.now_ms()
    threads = [threading.Thread(target=feed, args=(i,)) for i in range(subject.engine.parallel)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    passed_ms = subject.now_ms() - started_ms
    # What an upload and a batch cost when nothing else runs: events of two lanes also count each other's waiting.
    upload_ms, work_ms = len(uploads) * alone, len(works) * percentile(_work_alone(subject, payloads, size), 50)
    hidden = (upload_ms + work_ms - passed_ms) / upload_ms if upload_ms else 0.0
    return {
        "overlap_batches": len(uploads),
        "overlap_lanes": subject.engine.parallel,
        "upload_hidden": round(min(1.0, max(0.0, hidden)), 3),
    }


def _alone(subject: Subject, payloads: list[U8], size: int) -> list[float]:
    return [t[0] for t in _serial(subject, payloads, size)]


def _work_alone(subject: Subject, payloads: list[U8], size: int) -> list[float]:
    return [t[1] for t in _serial(subject, payloads, size)]


def _serial(subject: Subject, payloads: list[U8], size: int) -> list[tuple[float, float]]:
    """(upload ms, work ms) of batches one after the other."""
    color, out = colors(subject.card, size), []
    for _ in range(5):
        subject.engine.infer(payloads[:size], color)
        last = subject.engine.statistics().last
        assert last is not None
        out.append((last.upload_ms, last.compute_ms))
    return out
