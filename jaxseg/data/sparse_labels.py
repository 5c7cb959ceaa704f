"""Draws which pixels of the training images are labelled, once, and stores them.

The draw is a pure function of (seed, id of the image, options, mask), at the size of
the view (that of the model, or native with fit "crop"): the same every epoch, on every
process and after a restart. It is stored as an artifact, so that a label budget can be
counted and another run can use the very same labels. A file of data/supervision/ has
`label`, which draws for one mask, `read`, which brings labels that exist, or `choose`,
which says of a whole split which images keep their masks.
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
from jaxtyping import Bool, Int, UInt8

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
# of a choice of whole masks
_CHOICE = {"whole": (1, "b"), "image_labels": (1, "i"), "counts": (2, "i")}
_LONGEST = 2**17  # pixels of a side
_CONTRACT = ("label", "read", "choose")  # a file of data/supervision/ has one of them


class Labels(NamedTuple):
    """Labelled pixels of a split, sorted by image, then by place.

    Or, with `whole`, the choice of the images whose masks are labelled as stored; then
    single pixels there are none, and `sizes` are those of the stored masks.
    """

    ids: Sequence[str]  # of all images of the split
    size: tuple[int, int] | None  # height, width; None: each image its own, in `sizes`
    image: Int[np.ndarray, "n"]  # i32, position in the split
    y: Int[np.ndarray, "n"]  # i16; i32 where an image is too large for that
    x: Int[np.ndarray, "n"]
    label: UInt8[np.ndarray, "n"]  # class
    options: dict[str, Any]  # what they were drawn with
    sizes: Int[np.ndarray, "images 2"] | None = None  # i32, with size None
    whole: Bool[np.ndarray, "images"] | None = None  # these keep their masks
    image_labels: Int[np.ndarray, "images"] | None = None  # i32, that training has
    counts: Int[np.ndarray, "images k"] | None = None  # pixels of the masks kept

    def mask(
        self, index: int, stored: UInt8[np.ndarray, "h w"] | None = None
    ) -> UInt8[np.ndarray, "h w"]:
        """The mask of one image: IGNORE but for its labelled pixels.

        `stored` is the full mask as the view shows it, of which a choice of whole masks
        leaves all or nothing.
        """
        if self.whole is not None:
            return stored if self.whole[index] else np.full_like(stored, IGNORE)
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

    @property
    def any_pixel(self) -> bool:
        """Whether a pixel of any image is labelled."""
        return bool(len(self.label)) or self.counts is not None and self.counts.any()


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
    function = next(getattr(module, n) for n in _CONTRACT if hasattr(module, n))
    names = [n for n in inspect.signature(function).parameters if n in block]
    return {
        "name": block["name"],
        "seed": block["seed"] if block["seed"] >= 0 else seed,
        **{name: block[name] for name in names},
        "annotators": block["annotators"],
    }


def is_sparse(name: str) -> bool:
    """Whether a supervision labels single pixels and leaves the others unlabelled."""
    return lookup.find(KIND, name).SPARSE


def is_partial(name: str) -> bool:
    """Whether a supervision leaves anything unlabelled: pixels, or whole masks."""
    module = lookup.find(KIND, name)
    return module.SPARSE or hasattr(module, "choose")


def draw(split: Split, view: Any, chosen: dict[str, Any]) -> Labels:
    """The labels of all images of `split`, at the size and fit of `view`.

    `chosen` comes from `options`.
    """
    module = lookup.find(KIND, chosen["name"])
    if hasattr(module, "read"):  # made before, by another run or by hand
        return module.read(split, view, paths=chosen["paths"], options=chosen)
    rest = {k: v for k, v in chosen.items() if k not in ("name", "seed", "annotators")}
    if hasattr(module, "choose"):
        return from_choice(split, module.choose(split, **rest, options=chosen), chosen)

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


def from_choice(
    split: Split, whole: Bool[np.ndarray, "images"], chosen: dict[str, Any]
) -> Labels:
    """The Labels of images of `split` that keep their masks, or not; none is read."""
    at = np.zeros(0, np.int16)
    return Labels(
        ids=list(split.ids),
        size=None,
        image=at.astype(np.int32),
        y=at,
        x=at,
        label=at.astype(np.uint8),
        options=chosen,
        sizes=split.sizes.astype(np.int32),
        whole=whole,
        image_labels=split.image_labels.astype(np.int32),
        counts=np.where(whole[:, None], split.pixels, 0),
    )


def store(path: pathlib.Path, labels: Labels) -> None:
    """Writes the artifact, or holds it against the one that is there.

    Raises DataError where that one differs: a run keeps the labels it began with.
    """
    if path.exists():
        before = read(path)
        same = all(
            np.array_equal(getattr(before, name), getattr(labels, name))
            for name in ("ids", "size", "sizes", "image", "y", "x", "label", *_CHOICE)
        )
        if not same:
            raise DataError(
                f"{path} holds other labelled pixels than this run would draw: the "
                "images or the settings have changed; choose another workdir."
            )
        return
    text = json.dumps(labels.options, sort_keys=True)
    arrays = {n: getattr(labels, n) for n in ("image", "y", "x", "label")}
    for name in ("sizes", *_CHOICE):
        if getattr(labels, name) is not None:
            arrays[name] = getattr(labels, name)
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
    arrays = npz.read(path, _KINDS | _CHOICE, optional=("sizes", *_CHOICE))
    try:
        options = json.loads(str(arrays["options"]))
    except (ValueError, RecursionError):
        options = None
    labels = Labels(
        ids=arrays["ids"].tolist(),
        size=None if "sizes" in arrays else tuple(arrays["size"].tolist()),
        sizes=arrays.get("sizes"),
        **{n: arrays[n] for n in ("image", "y", "x", "label")},
        **{n: arrays.get(n) for n in _CHOICE},
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
    choice = [getattr(labels, name) for name in _CHOICE]
    there = [array is not None for array in choice]
    if any(there) and (labels.size is not None or n or not all(there)):
        return "it is half a choice of masks, half single pixels"
    if any(there) and {len(array) for array in choice} != {images}:
        return f"its choice of masks is not one of {images} images"
    if any(there) and choice[-1].min(initial=0) < 0:
        return "a count of pixels is below 0"
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
    pixels = class_pixels(labels, len(classes))
    each, per_class = pixels.sum(1), pixels.sum(0)
    out = {
        "options": labels.options,
        "images": len(labels.ids),
        "labelled_pixels": int(each.sum()),
        "share": float(each.sum() / max(1, labels.area)),
        "per_class": dict(zip(classes, per_class.tolist(), strict=True)),
        "per_image": {
            "mean": float(each.mean()),
            "min": int(each.min()),
            "max": int(each.max()),
        },
        "short_images": short(labels, classes),
    }
    if labels.whole is not None:
        out["kinds"] = kinds(labels)
    return out


def kinds(labels: Labels) -> dict[str, int]:
    """Images of each kind in a choice of whole masks."""
    positive, masked = labels.image_labels > 0, labels.counts.any(axis=1)
    return {
        "positives_with_mask": int(np.sum(positive & masked)),
        "positives_with_label_only": int(np.sum(positive & ~masked)),
        "negatives": int(np.sum(labels.image_labels == 0)),
        "without_label": int(np.sum(labels.image_labels < 0)),
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
    if labels.counts is not None:
        return labels.counts
    cell = labels.image.astype(np.int64) * num_classes + labels.label
    counts = np.bincount(cell, minlength=len(labels.ids) * num_classes)
    return counts.reshape(len(labels.ids), num_classes)
