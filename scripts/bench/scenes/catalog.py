"""Which scenes there are, from which sources, and which of them nobody has tuned anything on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scripts.bench.scenes.drawn import Drawn
from scripts.bench.scenes.encoding import Recipe
from scripts.bench.scenes.footage import Clip, Passage, Recorded
from scripts.bench.scenes.picture import Source
from scripts.bench.scenes.weather import Exposure, Flicker, Foliage, Headlights, Jitter, Night, Rain

SECONDS = 200.0
"""Of a timeline: long enough for three events and the quiet between them."""
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

H264, CBR = Recipe(), Recipe(rate="cbr", level=3000)
ABR, LONG = Recipe(rate="abr", level=2000), Recipe(gop=250)
B_FRAMES = Recipe(b_frames=2)
H265, H265_CBR = Recipe("hevc", level=28), Recipe("hevc", "cbr", 2000)


@dataclass(frozen=True, slots=True)
class Shot:
    """One source and the ways it is encoded: one scene each."""

    source: Source
    recipes: tuple[Recipe, ...]
    held_out: bool
    """By source: nothing of its clip or place was used to choose a constant or to train a predictor."""

    def scene(self, recipe: Recipe) -> str:
        return f"{self.source.name}-{recipe.label}"


def shots(folder: Path, seconds: float = SECONDS) -> list[Shot]:
    """All there are on this machine. folder: where the development footage is, if it is."""
    recorded = [
        (Recorded("indoor", INDOOR, folder, seconds, seed=1), (H264, CBR), False),
        (Recorded("cars", CARS, folder, seconds, seed=2), (H264, H265), False),
        (Recorded("lawn", LAWN, folder, seconds, seed=3), (H264, CBR), True),
        (Recorded("path", PATH, folder, seconds, seed=4), (H264, H265), True),
    ]
    drawn = [
        (Drawn("street", 4, (), seconds), (CBR, B_FRAMES)),
        (Drawn("yard", 5, (), seconds), (ABR, LONG)),
        (Drawn("night", 8, (Night(),), seconds, sigma=6.0), (CBR,)),
        (Drawn("rain", 9, (Rain(),), seconds), (H264,)),
        (Drawn("foliage", 7, (Foliage(),), seconds), (ABR,)),
        (Drawn("flicker", 6, (Flicker(),), seconds), (H264,)),
        (Drawn("exposure", 13, (Exposure(),), seconds), (H264,)),
        (Drawn("headlights", 12, (Night(0.5), Headlights()), seconds, sigma=4.0), (CBR,)),
        (Drawn("far", 15, (), seconds, size=0.4), (H264,)),
        (Drawn("slow", 10, (), seconds, pace=0.25, visit_s=(5.0, 7.0)), (CBR,)),
        (Drawn("jitter", 17, (Jitter(),), seconds), (H265_CBR,)),
    ]
    here = [Shot(source, recipes, held_out) for source, recipes, held_out in recorded if source.there]
    return [*here, *(Shot(source, recipes, True) for source, recipes in drawn)]
