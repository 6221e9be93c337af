"""Judges that are compared: the learned one is what its training script makes, and the suites share nothing."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from pipelines.gate.bitstream import PacketFacts
from pipelines.gate.bitstream_bits import SliceType
from pipelines.gate.packet import PacketGateOptions
from pipelines.gate.predictor import Predictor
from scripts.bench.recall.evaluate import PREDICTORS
from scripts.bench.recall.learned import INPUTS, WEIGHTS, Views
from scripts.bench.recall.prepare import _bare
from scripts.bench.recall.suite import development, held_out
from scripts.bench.scenes.catalog import CBR, CHIP_CBR, Shot
from scripts.bench.scenes.drawn import Drawn
from scripts.bench.scenes.footage import Recorded

SECOND = 1_000_000_000
FPS = 25


def packets(seconds: int, busy_from: int) -> list[PacketFacts]:
    """Sizes with a little noise; three times as large from one second on."""
    rng = np.random.default_rng(3)
    out = []
    for n in range(seconds * FPS):
        key = n % 50 == 0
        size = 4000 * (15 if key else 1) * float(rng.lognormal(0, 0.1)) * (3 if n >= busy_from * FPS else 1)
        out.append(PacketFacts(round(size), key, True, SliceType.I if key else SliceType.P, 26, None, False))
    return out


@pytest.mark.parametrize("name", list(PREDICTORS))
def test_every_judge_says_more_of_a_stream_in_which_something_happens(name: str) -> None:
    make, options = PREDICTORS[name]
    judge: Predictor = make(PacketGateOptions.model_validate(options))

    scores = [judge.update(facts, n * SECOND // FPS) for n, facts in enumerate(packets(40, busy_from=38))]

    assert judge.ready(40 * SECOND)
    assert max(scores[38 * FPS :]) > 2 + np.median(scores[20 * FPS : 38 * FPS])


def test_the_learned_judge_is_tiny_and_fits_its_views() -> None:
    with np.load(WEIGHTS) as kept:
        assert sum(kept[name].size for name in kept.files) < 3100
        assert kept["weights0"].shape[0] == INPUTS
    views = Views(PacketGateOptions())
    assert views.add(packets(1, 9)[0], 0).shape == (INPUTS,)


def test_what_judges_and_what_is_learned_from_share_no_clip_and_no_place() -> None:
    judging, learning = held_out(Path("/nowhere")), development(Path("/nowhere"))

    def places(shots: list[Shot]) -> set[object]:
        sources = [getattr(shot.source, "scene", shot.source) for shot in shots]
        drawn = {("drawn", s.variant) for s in sources if isinstance(s, Drawn)}
        return drawn | {s.clip.file for s in sources if isinstance(s, Recorded)}

    assert places(judging)
    assert not places(judging) & places(learning)
    assert all(shot.held_out for shot in judging)
    assert not any(shot.held_out for shot in learning)


def test_a_chip_encodes_with_one_qp_per_picture_and_has_a_name_of_its_own() -> None:
    chip, usual = (set(recipe.options()["x264-params"].split(":")) for recipe in (CHIP_CBR, CBR))
    assert chip - usual == {"aq-mode=0"}
    assert CHIP_CBR.label != CBR.label


def test_comments_and_docstrings_do_not_empty_the_cache() -> None:
    plain = "def f(x):\n    return x + 1\n"
    said = '"""Module."""\n\n\ndef f(x):\n    """Adds."""\n    # why\n    return x + 1\n'

    assert _bare(ast.parse(said)) == _bare(ast.parse(plain))
    assert _bare(ast.parse(plain.replace("1", "2"))) != _bare(ast.parse(plain))
