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
    masks = [np.full(view.size, IGNORE, np.uint8) for _ in split.ids]
    refused = [np.zeros(view.size, bool) for _ in split.ids]
    place = {name: i for i, name in enumerate(split.ids)}
    for path in paths:
        labels = sparse_labels.read(path)
        strange = [name for name in labels.ids if name not in place]
        if strange or labels.size != tuple(view.size):
            raise DataError(
                f"{path} holds labels of images of {labels.size}, of them "
                f"{strange[:3]} unknown; here the {split.name} images are used at "
                f"{tuple(view.size)}: draw them again, or use the same config.data."
            )
        for i, name in enumerate(labels.ids):
            one, at = labels.mask(i), place[name]
            both = (one != IGNORE) & (masks[at] != IGNORE)
            refused[at] |= both & (one != masks[at])
            masks[at] = np.where(one != IGNORE, one, masks[at])
    for mask, out in zip(masks, refused, strict=True):
        mask[out] = IGNORE
    return sparse_labels.from_masks(masks, split.ids, options)
