"""Can this stream be gated by its packets at all? And if not, why? Pure."""

from __future__ import annotations

from pipelines.gate.bitstream import PacketFacts

_CONSTANT_SHARE = 0.001
"""Sizes that vary by less than this are made constant: by padding, or by what encrypts them."""
_SIZES = 50


class Fitness:
    """Watches one stream for what a sleeper cannot live with. One thread. A few tenths of a microsecond per packet."""

    def __init__(self, key_interval_ns: int) -> None:
        """key_interval_ns: longest time without a key frame; to wake, all packets since the last one are decoded."""
        self._key_interval_ns = key_interval_ns
        self.restart()

    def restart(self) -> None:
        """A new connection."""
        self._key_ns: int | None = None
        self._had_key = False
        self._refresh = False
        self._seen = 0
        self._least_bytes = self._most_bytes = self._least_qp = self._most_qp = 0
        self._constant = False

    def update(self, facts: PacketFacts, time_ns: int) -> None:
        """Take one packet."""
        if facts.is_key or self._key_ns is None:
            self._key_ns = time_ns
            self._had_key |= facts.is_key
            self._refresh = False
        if facts.recovery_frames:
            self._refresh = True
        self._measure(facts.payload_bytes, facts.qp or 0)

    def _measure(self, size: int, qp: int) -> None:
        """Do sizes and QP of the last 50 packets differ at all?"""
        if self._seen == 0:
            self._least_bytes = self._most_bytes = size
            self._least_qp = self._most_qp = qp
        elif size < self._least_bytes:
            self._least_bytes = size
        elif size > self._most_bytes:
            self._most_bytes = size
        if qp < self._least_qp:
            self._least_qp = qp
        elif qp > self._most_qp:
            self._most_qp = qp
        self._seen += 1
        if self._seen == _SIZES:
            flat = self._most_bytes - self._least_bytes <= _CONSTANT_SHARE * self._most_bytes
            self._constant = flat and self._least_qp == self._most_qp
            self._seen = 0

    def reason(self, time_ns: int) -> str:
        """Why the stream cannot be gated, in words; empty if it can."""
        if self._key_ns is not None and time_ns - self._key_ns > self._key_interval_ns:
            seconds = (time_ns - self._key_ns) / 1e9
            why = " (intra refresh)" if self._refresh else "" if self._had_key else " at all"
            return f"no key frame{why} for {seconds:.0f} s"
        if self._constant:
            return "packet sizes are constant"
        return ""
