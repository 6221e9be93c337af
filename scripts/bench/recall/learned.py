"""A learned judge of PacketGame's shape, tried and not shipped: two views of the packets and a temporal scalar.

Yuan et al., PacketGame, SIGCOMM 2023, look at windows of sizes by frame type and at what was found lately. Here the
windows are of packets against the stream's own levels (pipelines/gate/score_level.py), and the scalar is the shipped
score. About 3,000 parameters; scripts/train/train_gate.py trains them.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.gate.bitstream import PacketFacts
from pipelines.gate.packet import PacketGateOptions
from pipelines.gate.score import Scorer
from pipelines.gate.score_level import Levels

F32 = npt.NDArray[np.float32]
WEIGHTS = Path(__file__).parent / "learned.npz"
BETWEEN, KEYS = 16, 3
"""Packets in the view of what is no key frame, and key frames in the other."""
INPUTS = 2 * BETWEEN + KEYS + 1
_NONE_LOGIT, _LOGIT_SCALE = 3.2, 0.7
"""The mean logit of quiet packets becomes about 0, and thresholds have the range of the other judges."""


class Views:
    """What the network is shown of one stream. One thread."""

    def __init__(self, options: PacketGateOptions) -> None:
        self._scorer = Scorer(options)
        self._levels = Levels(options.ln_per_qp, int(options.window_s * 1e9))
        self._between: deque[float] = deque([0.0] * BETWEEN, BETWEEN)
        self._keys: deque[float] = deque([0.0] * KEYS, KEYS)
        self._centre, self._spread = 0.0, 1.0

    def add(self, facts: PacketFacts, time_ns: int) -> F32:
        """(INPUTS,): the packets between key frames as they came and by size, key frames, the score."""
        score = self._scorer.update(facts, time_ns)
        above = self._levels.above(facts, time_ns)
        if facts.is_key:
            self._keys.append(above)
        else:
            self._between.append(above)
            weight = 1 / (8 * 25)
            self._centre += weight * (above - self._centre)
            self._spread += weight * (abs(above - self._centre) - self._spread)
        between = np.array(self._between, np.float32)
        views = np.clip((between - self._centre) / max(self._spread, 0.05), -4, 8) / 3
        scalar = np.clip(score, -4, 12) / 3
        return np.concatenate([views, np.sort(views), 5 * np.array(self._keys), [scalar]]).astype(np.float32)


class Network:
    """Three layers, ReLU between them."""

    def __init__(self, layers: list[tuple[F32, F32]]) -> None:
        self._layers = layers

    def logit(self, inputs: F32) -> float:
        for number, (weights, bias) in enumerate(self._layers):
            inputs = inputs @ weights + bias
            if number < len(self._layers) - 1:
                inputs = np.maximum(inputs, 0)
        return float(inputs[0])


@lru_cache(maxsize=1)
def trained() -> Network:
    """The one that scripts/train/train_gate.py made."""
    with np.load(WEIGHTS) as kept:
        return Network([(kept[f"weights{n}"], kept[f"bias{n}"]) for n in range(3)])


class Learned:
    """Implements Predictor."""

    def __init__(self, options: PacketGateOptions) -> None:
        self._views = Views(options)
        self._network = trained()
        self._since_ns: int | None = None
        self._learn_ns = int(options.learn_s * 1e9)

    def update(self, facts: PacketFacts, time_ns: int) -> float:
        if self._since_ns is None:
            self._since_ns = time_ns
        return (self._network.logit(self._views.add(facts, time_ns)) + _NONE_LOGIT) * _LOGIT_SCALE

    def ready(self, time_ns: int) -> bool:
        return self._since_ns is not None and time_ns - self._since_ns >= self._learn_ns

    def ungateable(self, time_ns: int) -> str:
        del time_ns
        return ""

    def restart(self) -> None:
        """A tape has one connection."""
