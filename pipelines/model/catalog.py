"""From what a person wrote in the configuration to a model file that can be loaded."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipelines.errors import ModelError
from pipelines.model import directory
from pipelines.model.card import find_card
from pipelines.model.known import CATALOG, PRESENCE, SHIPPED, SHIPPED_FOLDER
from pipelines.model.options import FamilyName, FoldOptions
from pipelines.values import ModelCard


def default_cache() -> Path:
    """Where fetched and folded models are kept unless said otherwise."""
    return Path.home() / ".cache" / "framegate" / "models"


def default_store() -> Path:
    """Where prepared models are kept unless said otherwise; a directory in it can be named like a shipped model."""
    return Path.home() / ".local" / "share" / "framegate" / "models"


def store_names(store: Path | None = None) -> list[str]:
    """Of the prepared models."""
    store = store or default_store()
    return sorted(p.name for p in store.iterdir() if directory.is_model_directory(p)) if store.is_dir() else []


def resolve(
    name: str | Path,
    size_wh: tuple[int, int] | None = None,
    family: FamilyName | None = None,
    options: FoldOptions | None = None,
    cache: Path | None = None,
) -> Path:
    """The folded file of a detector. Folds what is not folded yet, once: takes seconds then; blocks.

    Args:
        name: a shipped, fetched or prepared model's name, an ONNX file, folded or not, or a model directory
            (directory.py); a prepared model's name and a directory may end in @VERSION.
        size_wh: network input, px; None: the model's own.
        family: of a file that is not folded; None: recognised.
        options: how to fold a file, beside the two above; None: as the model's entry says, else the defaults.
        cache: folder for folded files; None: default_cache().

    Raises:
        ModelError: no such model, it cannot be folded, or it is folded already for another size or family.
    """
    cache = cache or default_cache()
    ready = SHIPPED_FOLDER / f"{name}.folded.onnx"
    as_it_is = size_wh is None and family is None and options is None
    if name in SHIPPED and as_it_is and ready.is_file():
        return ready
    if (version := _prepared(str(name))) is not None:
        _refuse_other(version.path, version.card, size_wh, family)
        return version.path
    source, known = _find(str(name), cache)
    options = options or known
    if size_wh is not None:
        options = options.model_copy(update={"width_px": size_wh[0], "height_px": size_wh[1]})
    if family is not None:
        options = options.model_copy(update={"family": family})
    card = find_card(source)
    if card is None:
        return _folded(source, options, cache)
    _refuse_other(source, card, size_wh, family)
    return source


def _prepared(name: str) -> directory.Version | None:
    if "/" in name:
        return directory.find(name)
    known = name.rpartition("@")[0] or name
    return None if known in SHIPPED or known in CATALOG else directory.find(default_store() / name)


def _refuse_other(folded: Path, card: ModelCard, size_wh: tuple[int, int] | None, family: FamilyName | None) -> None:
    """What is folded already cannot become something else."""
    if size_wh not in (None, (card.input_w, card.input_h)):
        raise ModelError(
            f"{folded} is folded for {card.input_w}x{card.input_h}: fold the original again, or ask no size"
        )
    if family not in (None, card.family):
        raise ModelError(f"{folded} is folded already, as {card.family}, not {family}")


def resolve_presence(name: str | Path) -> Path:
    """The file of the presence model: "presence" is the shipped one, anything else a path.

    Raises:
        ModelError: there is no such file.
    """
    path = SHIPPED_FOLDER / "presence.onnx" if str(name) == PRESENCE else Path(name)
    if not path.is_file():
        raise ModelError(f"presence model {name}: no such file ({path})")
    return path


def _find(name: str, cache: Path) -> tuple[Path, FoldOptions]:
    """The file a name means, and how to fold it."""
    if "/" in name or name.endswith(".onnx"):
        if not Path(name).is_file():
            raise ModelError(f"model {name}: no such file or model directory")
        return Path(name), FoldOptions(name=Path(name).stem)
    if name in SHIPPED:
        path, options = SHIPPED_FOLDER / f"{name}.onnx", SHIPPED[name]
        hint = "this installation lacks it"
    elif name in CATALOG:
        path, options = cache / f"{name}.onnx", CATALOG[name].fold
        hint = f"fetch it first: framegate models pull {name}"
    else:
        known = ", ".join(sorted({*SHIPPED, *CATALOG, *store_names()}))
        raise ModelError(f"no model named {name!r}: known are {known}; a file's name has a / or ends in .onnx")
    if not path.is_file():
        raise ModelError(f"model {name}: {hint} ({path})")
    return path, options


def _folded(source: Path, options: FoldOptions, cache: Path) -> Path:
    """The folded form from the cache; the name is a hash of everything it depends on."""
    from pipelines.model.fold import VERSION, fold  # needs `onnx`, which loading a folded model does not

    content = hashlib.sha256(source.read_bytes())
    content.update(f"{VERSION} {options.model_dump_json()}".encode())
    target = cache / "folded" / f"{options.name or source.stem}-{content.hexdigest()[:20]}.onnx"
    if not target.is_file():
        fold(source, target, options)
    return target
