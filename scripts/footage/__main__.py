"""Make clips for the demo: people and vehicles cross empty places, all of it drawn, with the truth beside it as JSON.

`python -m scripts.footage OUT.mp4` makes one clip; with --variants 4, OUT-0.mp4 ... OUT-3.mp4.
`python -m scripts.footage --cache` makes the demo's clips once. The paths are printed, one a line.
"""

from __future__ import annotations

import argparse
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from scripts.footage.film import Film, make

_HERE = Path(__file__).parent
CACHE = _HERE.parents[1] / ".cache" / "footage"
DEMO_VARIANTS = 4


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.footage", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("out", type=Path, nargs="?", help="mp4 file")
    where.add_argument("--cache", action="store_true", help=f"in {CACHE}, unless they are there already")
    parser.add_argument("--seconds", type=float, default=Film().seconds)
    parser.add_argument("--size", default=f"{Film().width}x{Film().height}", help="WIDTHxHEIGHT, even numbers")
    parser.add_argument("--fps", type=int, default=Film().fps)
    parser.add_argument("--codec", choices=("h264", "hevc"), default=Film().codec)
    parser.add_argument("--seed", type=int, default=0, help="place and events: 0 street, 1 yard, 2 hall, 3 park, 4 ...")
    parser.add_argument("--variants", type=int, help="how many clips, seeds counting up (default 1; with --cache 4)")
    given = parser.parse_args()
    width, height = (int(side) for side in given.size.split("x"))
    film = Film(given.seed, given.seconds, width, height, given.fps, given.codec)
    if given.cache:
        paths = cached(film, given.variants or DEMO_VARIANTS)
    else:
        paths = make_variants(given.out, film, given.variants or 1)
    print("\n".join(str(path) for path in paths))


def make_variants(out: Path, film: Film, variants: int) -> list[Path]:
    """`variants` clips beside each other, two at a time; a single one keeps the plain name."""
    if variants == 1:
        return [make(out, film)]
    films = [replace(film, variant=film.variant + i) for i in range(variants)]
    paths = [out.with_stem(f"{out.stem}-{one.variant}") for one in films]
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(make, paths, films))


def cached(film: Film, variants: int, folder: Path = CACHE) -> list[Path]:
    """The clips from the cache; made first if one is missing. Other parameters or other drawing code: other files."""
    digest = hashlib.sha256(repr((film, variants)).encode())
    for source in sorted(_HERE.glob("*.py")):
        digest.update(source.read_bytes())
    out = folder / digest.hexdigest()[:12] / "clip.mp4"
    paths = sorted(out.parent.glob("clip*.mp4"))
    if len(paths) == variants:
        return paths
    out.parent.mkdir(parents=True, exist_ok=True)
    return make_variants(out, film, variants)


if __name__ == "__main__":
    main()
