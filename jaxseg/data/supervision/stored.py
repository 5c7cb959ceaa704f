"""Reads labelled pixels that exist already, of other runs or of `jaxseg.click`.

Several files are united, as if several annotators had looked at the images.
"""

import numpy as np

from jaxseg.data import sparse_labels
from jaxseg.data.pipeline import View
from jaxseg.data.prepared import Split
from jaxseg.errors import ConfigError, DataError
from jaxseg.types import IGNORE

SPARSE = True


def read(
    split: Split, view: View, *, paths: tuple[str, ...], options: dict
) -> sparse_labels.Labels:
    """The union of the artifacts; a pixel whose labels disagree is left out.

    Raises ConfigError without a path, DataError where a file was drawn at another size
    or does not name these images.
    """
    if not paths:
        raise ConfigError(
            "config.supervision.paths is empty; name the supervision.npz of a run."
        )
    size, shapes = sparse_labels.one_size(view), view.sizes(split)
    place = {name: i for i, name in enumerate(split.ids)}
    drawn: list[list[tuple[sparse_labels.Labels, int]]] = [[] for _ in split.ids]
    for path in paths:
        labels = sparse_labels.read(path)
        if labels.whole is not None:
            raise DataError(
                f"{path} chooses images that keep their masks, and holds no single "
                "pixels; use it with config.supervision.name=mixed."
            )
        if labels.label.max(initial=0) >= len(split.classes):
            raise DataError(
                f"{path} labels pixels with class {labels.label.max()}, but the data "
                f"has the classes 0 to {len(split.classes) - 1}."
            )
        strange = [name for name in labels.ids if name not in place]
        own = labels.size is None and not strange
        other = own and any(
            labels.shape(i) != tuple(shapes[place[name]])
            for i, name in enumerate(labels.ids)
        )
        if strange or other or labels.size != size:
            raise DataError(
                f"{path} holds labels of images of {labels.size or 'native size'}, of "
                f"them {strange[:3]} unknown; here the {split.name} images are used at "
                f"{size or 'native size'}: draw them again, or use the same "
                "config.data."
            )
        for i, name in enumerate(labels.ids):
            drawn[place[name]].append((labels, i))
    masks = (
        _united([labels.mask(i) for labels, i in of], tuple(shape))
        for of, shape in zip(drawn, shapes.tolist(), strict=True)
    )
    return sparse_labels.from_masks(masks, split.ids, options, size=size)


def _united(masks: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """One mask of all labelled pixels of `masks`, but those that disagree."""
    out, refused = np.full(shape, IGNORE, np.uint8), np.zeros(shape, bool)
    for mask in masks:
        labelled = mask != IGNORE
        refused |= labelled & (out != IGNORE) & (mask != out)
        out = np.where(labelled, mask, out)
    out[refused] = IGNORE
    return out
