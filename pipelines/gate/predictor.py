"""What every judge of packets promises, so that the gate and the evaluation can take any of them."""

from __future__ import annotations

from typing import Protocol

from pipelines.gate.bitstream import PacketFacts


class Predictor(Protocol):
    """Says of each packet how likely it is that its picture is worth decoding. One per stream; pump thread.

    Every packet is shown to it, in the order they come, whether or not it is decoded. Pure: time is an argument, in
    ns; it may step back a little (B-frames), and where it jumps the stream is learned anew.
    """

    def update(self, facts: PacketFacts, time_ns: int) -> float:
        """The score: 0 at the stream's own quiet, higher where more happens. Comparable between streams."""

    def ready(self, time_ns: int) -> bool:
        """False until it has learned this stream's quiet; its scores mean nothing before."""

    def ungateable(self, time_ns: int) -> str:
        """Why this stream must be decoded whatever the score says, in words; empty if it need not."""

    def restart(self) -> None:
        """A new connection. What was learned of the scene is kept where it can be."""
