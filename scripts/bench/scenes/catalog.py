"""Recorded clips, and the ways cameras encode."""

from __future__ import annotations

from dataclasses import dataclass, replace

from scripts.bench.scenes.encoding import Recipe
from scripts.bench.scenes.footage import Clip, Passage
from scripts.bench.scenes.picture import Source

VTEST = "/usr/share/doc/opencv-doc/examples/data/vtest.avi"
"""PETS 2009, as Debian's package opencv-doc installs it."""

INDOOR = Clip(
    "video/one-by-one-person-detection.mp4",
    10.0,
    (
        Passage((8, 57), (58, 197)),
        Passage((201, 224), (225, 449)),
        Passage((453, 499), (500, 700)),
        Passage((704, 741), (742, 869)),
        Passage((873, 918), (919, 1200)),
        Passage((1204, 1231), (1232, 1359)),
    ),
)
CARS = Clip(
    "video/car-detection.mp4",
    12.5,
    (Passage((4, 52), (53, 107)), Passage((112, 177), (178, 238)), Passage((243, 312), (313, 347))),
)
LAWN = Clip(
    VTEST,
    10.0,
    (
        Passage((98, 180), (181, 201)),
        Passage((205, 256), (257, 277)),
        Passage((280, 294), (295, 338)),
        Passage((344, 384), (385, 453)),
        Passage((510, 528), (529, 588)),
        Passage((592, 652), (653, 720)),
    ),
    crop=(64, 264, 256, 144),
)
PATH = Clip(
    VTEST,
    10.0,
    (
        Passage((130, 147), (148, 194)),
        Passage((197, 216), (217, 306)),
        Passage((309, 331), (332, 382)),
        Passage((385, 442), (443, 520)),
    ),
    crop=(192, 288, 384, 216),
)
"""Two views of one clip, in which few pass."""

_QP = 18
"""Lowest QP of all that do not encode at constant quality."""
H264, LONG, B_FRAMES = Recipe(), Recipe(gop=250), Recipe(b_frames=2)
CBR, ABR = Recipe(rate="cbr", level=3000, least_qp=_QP), Recipe(rate="abr", level=2000, least_qp=_QP)
CHIP_CBR, CHIP_ABR = replace(CBR, one_qp=True), replace(ABR, one_qp=True)
H265, H265_CBR = Recipe("hevc", level=28), Recipe("hevc", "cbr", 2000, least_qp=_QP)


@dataclass(frozen=True, slots=True)
class Shot:
    """One source and the ways it is encoded: one scene each."""

    source: Source
    recipes: tuple[Recipe, ...]
    held_out: bool
    """By source: nothing of its clip or place was used to choose a constant or to train a predictor."""

    def scene(self, recipe: Recipe) -> str:
        return f"{self.source.name}-{recipe.label}"
