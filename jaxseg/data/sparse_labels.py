"""Draws which pixels of the training images are labelled, once, and stores them.

The draw is a pure function of (seed, id of the image, options, mask), at the size the
model sees: the same every epoch, on every process and after a restart. It is stored as
an artifact, so that a label budget can be counted and another run can use the very same
labels. A file of data/supervision/ has `label`, which draws for one mask, or `read`,
which brings labels that exist.
"""

import functools
import hashlib
import inspect
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from jaxseg import lookup
from jaxseg.data import resize
from jaxseg.data.prepared import Split
from jaxseg.errors import ConfigError, DataError
from jaxseg.types import IGNORE

KIND = "data/supervision"
FILE = "supervision.npz"


class Labels(NamedTuple):
    """Labelled pixels of a split, sorted by image, then by place."""

    ids: Sequence[str]  # of all images of the split
    size: tuple[int, int]  # height, width
    image: Int[np.ndarray, "n"]  # i32, position in the split
    y: Int[np.ndarray, "n"]  # i16
    x: Int[np.ndarray, "n"]  # i16
    label: UInt8[np.ndarray, "n"]  # class
    options: dict[str, Any]  # what they were drawn with

    def mask(self, index: int) -> UInt8[np.ndarray, "h w"]:
        """The mask of one image: IGNORE but for its labelled pixels."""
        out = np.full(self.size, IGNORE, np.uint8)
        part = slice(*np.searchsorted(self.image, [index, index + 1]))
        out[self.y[part], self.x[part]] = self.label[part]
        return out


def options(block: dict[str, Any], *, seed: int) -> dict[str, Any]:
    """The settings in `block` (config.supervision) that the supervision it names takes.

    `seed` stands in for a seed of -1. Raises ConfigError for an unknown name, and for
    less than one annotator.
    """
    module = lookup.find(KIND, block["name"])
    if block["annotators"] < 1:
        raise ConfigError(
            f"config.supervision.annotators is {block['annotators']}; it must be at "
            "least 1."
        )
    function = getattr(module, "label", None) or module.read
    names = [n for n in inspect.signature(function).parameters if n in block]
    return {
        "name": block["name"],
        "seed": block["seed"] if block["seed"] >= 0 else seed,
        **{name: block[name] for name in names},
        "annotators": block["annotators"],
    }


def is_sparse(name: str) -> bool:
    """Whether a supervision leaves pixels unlabelled."""
    return lookup.find(KIND, name).SPARSE


def draw(split: Split, view: Any, chosen: dict[str, Any]) -> Labels:
    """The labels of all images of `split`, at the size and fit of `view`.

    `chosen` comes from `options`.
    """
    module = lookup.find(KIND, chosen["name"])
    if hasattr(module, "read"):  # made before, by another run or by hand
        return module.read(split, view, paths=chosen["paths"], options=chosen)
    rest = {k: v for k, v in chosen.items() if k not in ("name", "seed", "annotators")}
    parts = []
    for i, name in enumerate(split.ids):
        example = split[i]
        _, mask = resize.fit(example["image"], example["mask"], view.size, view.fit)
        drawn = np.full_like(mask, IGNORE)
        for annotator in range(chosen["annotators"]):
            rng = generator(chosen["seed"], annotator, name)
            one = module.label(mask, rng=rng, **rest)
            drawn = np.where(one != IGNORE, one, drawn)
        parts.append(drawn)
    return from_masks(parts, split.ids, chosen)


def generator(seed: int, annotator: int, name: str) -> np.random.Generator:
    """The random numbers of one annotator for the image called `name`."""
    digest = hashlib.sha256(f"{seed}/{annotator}/{name}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


def from_masks(
    masks: Sequence[UInt8[np.ndarray, "h w"]],
    ids: Sequence[str],
    chosen: dict[str, Any],
) -> Labels:
    """The Labels in one mask an image, all of one size."""
    places = [np.nonzero(mask != IGNORE) for mask in masks]
    counts = [len(y) for y, _ in places]
    join = functools.partial(np.concatenate, dtype=np.int16, casting="same_kind")
    return Labels(
        ids=list(ids),
        size=masks[0].shape,
        image=np.repeat(np.arange(len(masks), dtype=np.int32), counts),
        y=join([y for y, _ in places]),
        x=join([x for _, x in places]),
        label=np.concatenate([m[p] for m, p in zip(masks, places, strict=True)]),
        options=chosen,
    )


def store(path: pathlib.Path, labels: Labels) -> None:
    """Writes the artifact, or holds it against the one that is there.

    Raises DataError where that one differs: a run keeps the labels it began with.
    """
    if path.exists():
        before = read(path)
        same = all(
            np.array_equal(getattr(before, name), getattr(labels, name))
            for name in ("ids", "size", "image", "y", "x", "label")
        )
        if not same:
            raise DataError(
                f"{path} holds other labelled pixels than this run would draw: the "
                "images or the settings have changed; choose another workdir."
            )
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    text = json.dumps(labels.options, sort_keys=True)
    arrays = {n: getattr(labels, n) for n in ("image", "y", "x", "label")}
    with temporary.open("wb") as file:
        np.savez_compressed(
            file,
            ids=np.array(labels.ids),
            size=np.array(labels.size),
            options=np.array(text),
            **arrays,
        )
    os.replace(temporary, path)


def read(path: str | os.PathLike) -> Labels:
    """The artifact at `path`; raises DataError when it is none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return Labels(
            ids=arrays["ids"].tolist(),
            size=tuple(arrays["size"].tolist()),
            **{n: arrays[n] for n in ("image", "y", "x", "label")},
            options=json.loads(str(arrays["options"])),
        )
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} holds no labelled pixels: {error}.") from error


def describe(labels: Labels, classes: Sequence[str]) -> dict[str, Any]:
    """The label budget: what was asked for, and the distinct pixels that came."""
    each = np.bincount(labels.image, minlength=len(labels.ids))
    per_class = np.bincount(labels.label, minlength=len(classes))
    pixels = len(labels.ids) * labels.size[0] * labels.size[1]
    return {
        "options": labels.options,
        "images": len(labels.ids),
        "labelled_pixels": len(labels.image),
        "share": len(labels.image) / max(1, pixels),
        "per_class": dict(zip(classes, per_class.tolist(), strict=True)),
        "per_image": {
            "mean": float(each.mean()),
            "min": int(each.min()),
            "max": int(each.max()),
        },
        "short_images": short(labels, classes),
    }


def short(labels: Labels, classes: Sequence[str]) -> dict[str, int]:
    """Images with fewer labelled pixels of a class than clicks were asked for."""
    wanted = labels.options
    if wanted["name"] != "clicks" or wanted["annotators"] > 1:
        return {}
    k = len(classes)
    counts = class_pixels(labels, k)
    asked = [wanted["negative"]] + [wanted["positive"]] * (k - 1)
    missing = (counts < np.array(asked)).sum(0)
    return dict(zip(classes, missing.tolist(), strict=True))


def class_pixels(labels: Labels, num_classes: int) -> np.ndarray:
    """i64 [n, k]: the labelled pixels of each class in each image of the split."""
    cell = labels.image.astype(np.int64) * num_classes + labels.label
    counts = np.bincount(cell, minlength=len(labels.ids) * num_classes)
    return counts.reshape(len(labels.ids), num_classes)
