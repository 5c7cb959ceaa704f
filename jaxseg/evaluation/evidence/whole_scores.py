"""Collects what a head says of whole images, and what is true of them."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jaxseg.data import prepared
from jaxseg.devices import sharding
from jaxseg.errors import NotFinite
from jaxseg.inference import whole_split


def scores(
    scorer: whole_split.Scorer,
    variables: Any,
    split: prepared.Split,
    width: int,
    only: set[int] | None = None,
) -> Float[np.ndarray, "n m"]:
    """The `width` probabilities f64 of each image; NaN where `only` does not name it.

    Every process gets those of all. Raises NotFinite where a head says no number.
    """
    own: dict[int, np.ndarray] = {}
    for index, row in whole_split.channels(scorer, variables, split, only):
        said = whole_split.image_score(scorer, row)
        if not np.isfinite(said).all():
            raise NotFinite(
                f"the head of whole images says {said} of {split.ids[index]}: training "
                "has diverged; lower the learning rate."
            )
        own[index] = said
    out = np.full((len(split), width), np.nan)
    mine = {
        "index": np.array(list(own), np.int32),
        "said": np.array(list(own.values()), np.float32).reshape(-1, width),
    }
    for part in sharding.gather(mine):
        out[part["index"]] = part["said"]
    return out


def truth(split: prepared.Split, width: int) -> Int[np.ndarray, "n m"]:
    """What is true of each of `width` outputs: 1 shown, 0 not, -1 unknown.

    One output says whether foreground is there at all; several are the classes of
    images of the data.
    """
    if width == 1:
        labels = split.image_labels
        return np.where(labels < 0, -1, labels > 0).astype(np.int64)[:, None]
    return split.image_classes.astype(np.int64)


def names(split: prepared.Split, width: int) -> list[str]:
    """What the outputs of a head are called."""
    return ["foreground"] if width == 1 else list(split.image_class_names)
