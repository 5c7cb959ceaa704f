"""Opens the prepared data set that a config names, and prepares it first if it can."""

import hashlib
import inspect
import json
import os
import pathlib
import types
from collections.abc import Callable
from typing import Any

from absl import logging

from jaxseg import lookup
from jaxseg.data import sealed
from jaxseg.data.files import scratch
from jaxseg.data.preparation import build_once
from jaxseg.errors import ConfigError, DataError

_KIND = "data/datasets"


def dataset(
    name: str,
    *,
    directory: str,
    raw: bool,
    demo: dict,
    options: dict,
    cache: pathlib.Path,
    progress: bool,
    stratify: str = "auto",
) -> pathlib.Path:
    """The directory of the prepared data set `name`.

    With `demo["images"]` above 0 the data set's own `write_demo(folder, ...)` draws
    raw files in `cache`, once for each `demo`, and they are prepared there; so are the
    raw files in `directory` when `raw`, unless it holds a prepared one, which it must
    otherwise.
    `demo["options"]` are further arguments of `write_demo`; `options` are for the data
    set's `prepare`, and so is `stratify` where it takes one and the options do not say
    it. Raises ConfigError for options that either does not take, for no directory, and
    for a data set that draws nothing; DataError when nothing is prepared in
    `directory`.
    """
    module = lookup.find(_KIND, name)
    _check_options(module.prepare, "config.data.options", name, options)
    if (
        stratify != "auto"
        and "stratify" in inspect.signature(module.prepare).parameters
    ):
        options = {"stratify": stratify} | options
    if demo["images"]:
        extra = demo.get("options", {})
        demo = {key: demo[key] for key in ("images", "size")} | extra
        folder = cache / "demo" / f"{name}-{_digest(demo)}"
        _draw(module, name, folder / "raw", demo, extra)
        place = folder / _digest(options) if options else folder
        return module.prepare(folder / "raw", place, progress=progress, **options)
    if not directory:
        raise ConfigError(
            "config.data.dir is empty; name the folder of the data with "
            "--config.data.dir=... or $JAXSEG_DATA."
        )
    if newest := build_once.locate(name.rpartition(".")[2], directory):
        return newest
    if raw:
        source = [str(pathlib.Path(directory).expanduser().resolve()), options]
        place = cache / "raw" / _digest(source)
        return module.prepare(directory, place, progress=progress, **options)
    raise DataError(
        f"{directory} holds no prepared {name}; make it with: "
        f"python -m jaxseg.prepare --dataset={name} --source=RAW "
        f"--data_dir={directory}. If these are the raw files, --config.data.raw=True "
        "prepares them in the cache."
    )


def any_data(
    directory: str | os.PathLike,
    *,
    name: str,
    options: dict,
    cache: pathlib.Path,
    progress: bool,
) -> pathlib.Path:
    """The directory of whatever data set is in `directory`, prepared if it is raw.

    A prepared one may be of any name; of several, it is the one called `name`. A raw
    folder is prepared in `cache`: as images and masks where it looks like that, else as
    `name` reads its own raw files. `options` are for that data set alone. Raises
    DataError where there is nothing, and for several sets of other names.
    """
    folder = pathlib.Path(directory).expanduser()
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder: name one with prepared or raw images.")
    if (folder / sealed.CARD).is_file():
        return folder
    if newest := build_once.locate(name.rpartition(".")[2], folder):
        return newest
    others = {path.parent.parent.name for path in folder.glob("*/*.*.*/card.json")}
    if len(others) > 1:
        raise DataError(
            f"{folder} holds several prepared data sets ({', '.join(sorted(others))}); "
            "name the folder of one of them."
        )
    if others:
        return build_once.locate(others.pop(), folder)
    own = "image_folder" if is_image_folder(folder) else name
    module = lookup.find(_KIND, own)
    chosen = options if own == name else {}
    place = cache / "raw" / _digest([own, str(folder.resolve()), chosen])
    return module.prepare(folder, place, progress=progress, **chosen)


def is_image_folder(folder: pathlib.Path) -> bool:
    """Whether a folder is laid out as images with masks or labels beside them."""
    places = [folder, *(folder / name for name in ("train", "validation", "test"))]
    return any(
        ((place / "images").is_dir() and (place / "masks").is_dir())
        or ((place / "images").is_dir() and (place / "labels.csv").is_file())
        or ((place / "good").is_dir() and (place / "defect").is_dir())
        for place in places
    )


def _draw(
    module: types.ModuleType, name: str, raw: pathlib.Path, demo: dict, extra: dict
) -> None:
    if raw.exists():
        scratch.remove_abandoned(raw.parent, f".{raw.name}")
        return
    if not hasattr(module, "write_demo"):
        modules = {n: lookup.find(_KIND, n) for n in lookup.names(_KIND)}
        able = [n for n, m in modules.items() if hasattr(m, "write_demo")]
        raise ConfigError(
            f"{name} draws no demonstration data, only {able} do; set "
            "config.data.demo.images=0 and config.data.dir."
        )
    _check_options(module.write_demo, "config.data.demo.options", name, extra)
    logging.info("drawing %d phantom images for %s", demo["images"], name)
    try:
        module.write_demo(raw, **demo)
    except (DataError, OSError):  # another run may have drawn the same ones meanwhile
        if not raw.exists():
            raise


def _check_options(
    function: Callable, block: str, name: str, options: dict[str, Any]
) -> None:
    """Raises ConfigError for options that are no keywords of a function."""
    parameters = inspect.signature(function).parameters.values()
    allowed = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    allowed = [one for one in allowed if one not in ("progress", "images", "size")]
    unknown = sorted(options.keys() - set(allowed))
    if unknown:
        raise ConfigError(
            f"{block} holds {', '.join(unknown)}, but {name} takes {allowed}."
        )


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
