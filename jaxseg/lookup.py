"""A name in a config is a public file in a folder, or a module of the user's project.

`unet` is `jaxseg/models/unet.py`; `my_lab.my_model`, a name with a dot, is that module
on the Python path. Nothing is imported to answer `names` or `check`, so a wrong name is
reported before JAX starts.
"""

import difflib
import functools
import importlib
import importlib.util
import pathlib
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jaxseg.errors import ConfigError

_HERE = pathlib.Path(__file__).parent
TERMS = ("losses", "regularisers")  # the folders of what config.loss names
HEADS = "models/_heads"  # no folder, but a file with the heads of config.decision
# {folder: (what a module there must have, "a|b" being either, and what that is)}
_LOSS = (("loss",), "loss(logits, mask, ...), one number an image, f32 [b]")
CONTRACTS: dict[str, tuple[tuple[str, ...], str]] = {
    "models": (
        ("Model",),
        "Model, a flax.linen module with the field num_classes, whose "
        "__call__(image, *, train) returns types.Outputs: {'logits': f32 [b h w k]}",
    ),
    HEADS: (
        ("Head",),
        "Head, a flax.linen module whose __call__(features, logits, *, train) returns "
        "f32 [b n], for the deepest map of the model and the logits of its pixels",
    ),
    "losses": _LOSS,
    "regularisers": _LOSS,
    "targets": (
        ("channels", "split", "truth", "maps", "MAPS"),
        "channels(num_classes, ...), split(logits, num_classes, ...), truth(mask, "
        "instances, num_classes, ...), maps(logits, num_classes, ...) in [0, 1] and "
        "MAPS(settings), as border does; and mirror and ray_length where it has rays, "
        "as star does",
    ),
    "data/datasets": (
        ("prepare",),
        "prepare(source, data_dir, *, progress, ...), which returns the directory of "
        "the prepared data, data_dir/<last part of the name>/<version>; and "
        "write_demo(folder, *, images, size) where it can draw phantoms",
    ),
    "data/samplers": (
        ("epoch_size", "share", "order"),
        "epoch_size(present, ...), share(present, *, epoch, epochs, ...) and "
        "order(present, *, seed, epoch, epochs, size, ...) with present bool [n, k], "
        "the classes each image shows, as uniform does; where order asks for "
        "image_classes, all three are told those of whole images, i8 [n, m] or None",
    ),
    "data/supervision": (
        ("SPARSE", "label|read|choose"),
        "SPARSE, whether single pixels are labelled, and label(mask, *, rng, ...), the "
        "mask with IGNORE where training may not look, or choose(split, *, options, "
        "...), bool [n], the images that keep their masks",
    ),
    "postprocess": (
        ("apply", "GRID"),
        "apply(probability, **settings), and GRID, the settings to choose from",
    ),
    "predict/formats": (
        ("FOLDER", "SUFFIX", "check", "encode"),
        "FOLDER and SUFFIX of its files, check(), which raises where a package is "
        "missing, and encode(image), the bytes of a predict.masks.Labelled",
    ),
    "postprocess/objects": (
        ("find", "GRID"),
        "find(maps, **settings), the label map of the objects, integers [h, w], and "
        "GRID, the settings to choose from",
    ),
}


def names(kind: str) -> list[str]:
    """Sorted public modules of `jaxseg/<kind>/`; `kind` may be "data/samplers"."""
    return [*_public(_HERE / kind)]


@functools.cache  # a config names some thirty modules, each of which is looked up here
def _public(folder: pathlib.Path) -> tuple[str, ...]:
    return tuple(sorted(p.stem for p in folder.glob("*.py") if p.stem[0] != "_"))


def hint(name: str, choices: Iterable[str]) -> str:
    """The end of an error: the nearest right name, those that have it, or all."""
    choices = list(choices)
    near = difflib.get_close_matches(str(name), choices, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    longer = [one for one in choices if str(name) and str(one).startswith(str(name))]
    if 0 < len(longer) < len(choices):
        return f"did you mean one of {longer}?"
    return f"choose one of {choices}."


def term(name: str, block: Mapping[str, Any]) -> str:
    """The module of the term config.loss.NAME: that file, or its `module`."""
    return block.get("module", name)


def check(kind: str | Sequence[str], name: str) -> str:
    """The folder that has `name`, of one or the first of several.

    A module of the user's project counts to the first. Raises ConfigError, with the
    nearest right name, when `name` is not a choice.
    """
    kinds = [kind] if isinstance(kind, str) else kind
    if "." in name:
        _check_own(kinds[0], name)
        return kinds[0]
    choices = {one: names(one) for one in kinds}
    for folder, there in choices.items():
        if name in there:
            return folder
    folders = " and ".join(f"jaxseg/{one}/" for one in kinds)
    have = "has" if len(kinds) == 1 else "have"
    raise ConfigError(
        f"{folders} {have} no {name!r}: {hint(name, sum(choices.values(), []))}"
    )


def find(kind: str | Sequence[str], name: str) -> types.ModuleType:
    """The module `jaxseg/<kind>/<name>.py`, or the user's; ConfigError for a wrong one.

    A module of the user's project must define what CONTRACTS says.
    """
    folder = check(kind, name)
    if "." not in name:
        return importlib.import_module(f"jaxseg.{folder.replace('/', '.')}.{name}")
    try:
        module = importlib.import_module(name)
    except Exception as error:
        why = " ".join(str(error).split())
        raise ConfigError(
            f"{name} cannot be imported: {type(error).__name__}: {why}."
        ) from error
    needed, _ = CONTRACTS[folder]
    for one in needed:
        if not any(hasattr(module, either) for either in one.split("|")):
            missing = one.replace("|", " or ")
            raise ConfigError(
                f"{module.__file__} has no {missing}. {_must(folder, name)}"
            )
    return module


def _check_own(kind: str, name: str) -> None:
    """ConfigError when no module of this name is on the Python path."""
    try:  # imports the packages above the module, never the module
        exists = importlib.util.find_spec(name) is not None
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise  # something else that such a package imports
        exists = False
    except (ImportError, ValueError):  # an empty part, as in "a..b" and ".a"
        exists = False
    if not exists:
        raise ConfigError(
            f"there is no module {name} on the Python path (the current folder and "
            f"$PYTHONPATH are on it). {_must(kind, name)}"
        )


def _must(kind: str, name: str) -> str:
    return f"As one of {kind}, {name} must define {CONTRACTS[kind][1]}."
