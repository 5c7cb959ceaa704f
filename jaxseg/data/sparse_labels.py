"""Draws which pixels of the training images are labelled, once, and stores them.

The draw is a pure function of (seed, id of the image, options, mask), at the size of
the view (that of the model, or native with fit "crop"): the same every epoch, on every
process and after a restart. It is stored as an artifact, so that a label budget can be
counted and another run can use the very same labels. A file of data/supervision/ has
`label`, which draws for one mask, or `read`, which brings labels that exist.
"""

import functools
import hashlib
import inspect
import io
import json
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from jaxseg import atomic, lookup
from jaxseg.data import npz, resize
from jaxseg.data.prepared import Split
from jaxseg.errors import ConfigError, DataError
from jaxseg.types import IGNORE

KIND = "data/supervision"
FILE = "supervision.npz"
# {array: (axes, kinds of numbers)} of the artifact
_KINDS = {"ids": (1, "U"), "size": (1, "iu"), "options": (0, "U"), "sizes": (2, "iu")}
_KINDS |= {"image": (1, "iu"), "y": (1, "iu"), "x": (1, "iu"), "label": (1, "u")}
_LONGEST = 2**17  # pixels of a side


class Labels(NamedTuple):
    """Labelled pixels of a split, sorted by image, then by place."""

    ids: Sequence[str]  # of all images of the split
    size: tuple[int, int] | None  # height, width; None: each image its own, in `sizes`
    image: Int[np.ndarray, "n"]  # i32, position in the split
    y: Int[np.ndarray, "n"]  # i16; i32 where an image is too large for that
    x: Int[np.ndarray, "n"]
    label: UInt8[np.ndarray, "n"]  # class
    options: dict[str, Any]  # what they were drawn with
    sizes: Int[np.ndarray, "images 2"] | None = None  # i32, with size None

    def mask(self, index: int) -> UInt8[np.ndarray, "h w"]:
        """The mask of one image: IGNORE but for its labelled pixels."""
        out = np.full(self.shape(index), IGNORE, np.uint8)
        part = slice(*np.searchsorted(self.image, [index, index + 1]))
        out[self.y[part], self.x[part]] = self.label[part]
        return out

    def shape(self, index: int) -> tuple[int, int]:
        """Height and width of the mask of one image."""
        return self.size or tuple(self.sizes[index].tolist())

    @property
    def area(self) -> int:
        """Pixels of all images together, labelled or not."""
        if self.size is None:
            return int(self.sizes.prod(1, dtype=np.int64).sum())
        return len(self.ids) * self.size[0] * self.size[1]


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

    def drawn(i: int, name: str) -> np.ndarray:
        example = split[i]
        mask = example["mask"]
        if view.fit != "crop":
            _, mask = resize.fit(example["image"], mask, view.size, view.fit)
        out = np.full_like(mask, IGNORE)
        for annotator in range(chosen["annotators"]):
            rng = generator(chosen["seed"], annotator, name)
            one = module.label(mask, rng=rng, **rest)
            out = np.where(one != IGNORE, one, out)
        return out

    masks = (drawn(i, name) for i, name in enumerate(split.ids))
    return from_masks(masks, split.ids, chosen, size=one_size(view))


def one_size(view: Any) -> tuple[int, int] | None:
    """The size of all masks of a view; None when each image has its own."""
    return None if view.fit == "crop" else tuple(view.size)


def generator(seed: int, annotator: int, name: str) -> np.random.Generator:
    """The random numbers of one annotator for the image called `name`."""
    digest = hashlib.sha256(f"{seed}/{annotator}/{name}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


def from_masks(
    masks: Iterable[UInt8[np.ndarray, "h w"]],
    ids: Sequence[str],
    chosen: dict[str, Any],
    *,
    size: tuple[int, int] | None,
) -> Labels:
    """The Labels in one mask an image, all of one `size` unless it is None."""
    shapes, places, labels = [], [], []
    for mask in masks:
        at = np.nonzero(mask != IGNORE)
        shapes.append(mask.shape)
        places.append(at)
        labels.append(mask[at])
    counts = [len(label) for label in labels]
    kind = np.int16 if max(map(max, shapes)) <= 2**15 else np.int32
    join = functools.partial(np.concatenate, dtype=kind, casting="same_kind")
    return Labels(
        ids=list(ids),
        size=size,
        image=np.repeat(np.arange(len(labels), dtype=np.int32), counts),
        y=join([y for y, _ in places]),
        x=join([x for _, x in places]),
        label=np.concatenate(labels),
        options=chosen,
        sizes=np.array(shapes, np.int32) if size is None else None,
    )


def store(path: pathlib.Path, labels: Labels) -> None:
    """Writes the artifact, or holds it against the one that is there.

    Raises DataError where that one differs: a run keeps the labels it began with.
    """
    if path.exists():
        before = read(path)
        same = all(
            np.array_equal(getattr(before, name), getattr(labels, name))
            for name in ("ids", "size", "sizes", "image", "y", "x", "label")
        )
        if not same:
            raise DataError(
                f"{path} holds other labelled pixels than this run would draw: the "
                "images or the settings have changed; choose another workdir."
            )
        return
    text = json.dumps(labels.options, sort_keys=True)
    arrays = {n: getattr(labels, n) for n in ("image", "y", "x", "label")}
    if labels.sizes is not None:
        arrays["sizes"] = labels.sizes
    content = io.BytesIO()
    np.savez_compressed(
        content,
        ids=np.array(labels.ids),
        size=np.array(labels.size or (0, 0)),
        options=np.array(text),
        **arrays,
    )
    atomic.replace(path, content.getvalue())


def read(path: str | os.PathLike) -> Labels:
    """The artifact at `path`; raises DataError, naming it, when it is none."""
    arrays = npz.read(path, _KINDS, optional=("sizes",))
    try:
        options = json.loads(str(arrays["options"]))
    except (ValueError, RecursionError):
        options = None
    labels = Labels(
        ids=arrays["ids"].tolist(),
        size=None if "sizes" in arrays else tuple(arrays["size"].tolist()),
        sizes=arrays.get("sizes"),
        **{n: arrays[n] for n in ("image", "y", "x", "label")},
        options=options,
    )
    if wrong := _wrong(labels):
        raise DataError(f"{path} holds no labelled pixels: {wrong}.")
    return labels


def _wrong(labels: Labels) -> str:
    """What of the artifact cannot be, "" where all is well."""
    if not isinstance(labels.options, dict) or "name" not in labels.options:
        return "its options are not readable"
    n, images = len(labels.image), len(labels.ids)
    sizes = np.array([labels.size]) if labels.sizes is None else labels.sizes
    if len({n, len(labels.y), len(labels.x), len(labels.label)}) > 1:
        return "image, y, x and label have other lengths than one another"
    if sizes.shape[1:] != (2,) or labels.sizes is not None and len(sizes) != images:
        return f"there are {len(sizes)} sizes of {images} images"
    if len(sizes) and not (1 <= sizes.min() and sizes.max() <= _LONGEST):
        return f"a size is not from 1 to {_LONGEST}"
    if not n:
        return ""
    if labels.image[0] < 0 or labels.image[-1] >= images:
        return f"it labels other images than the {images} that it names"
    if (np.diff(labels.image.astype(np.int64)) < 0).any():
        return "its pixels are not sorted by image"
    of_pixel = sizes[labels.image if len(sizes) > 1 else 0]
    inside = (labels.y < of_pixel[..., 0]) & (labels.x < of_pixel[..., 1])
    if not inside.all() or min(labels.y.min(), labels.x.min()) < 0:
        return "a pixel lies outside its image"
    return ""


def describe(labels: Labels, classes: Sequence[str]) -> dict[str, Any]:
    """The label budget: what was asked for, and the distinct pixels that came."""
    each = np.bincount(labels.image, minlength=len(labels.ids))
    per_class = np.bincount(labels.label, minlength=len(classes))
    return {
        "options": labels.options,
        "images": len(labels.ids),
        "labelled_pixels": len(labels.image),
        "share": len(labels.image) / max(1, labels.area),
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
