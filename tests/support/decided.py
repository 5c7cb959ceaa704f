"""A split and predictions of a model with a decision head, in memory."""

import dataclasses

import numpy as np

from jaxseg.evaluation import count
from support import scored


def make(n=40, *, seed=0, noise=0.25, **changes):
    """(split, predictions, image scores) of `scored.make`; every 7th has no mask.

    Images without a mask keep their label; the last one has neither.
    """
    split, predictions = scored.make(n, seed=seed, ignore=False, **changes)
    rng = np.random.default_rng(seed + 1)
    truth = np.array([example["label"] > 0 for example in split.examples])
    scores = np.clip(0.5 * truth + 0.25 + noise * rng.normal(size=n), 0.01, 0.99)
    for i in range(0, n, 7):
        if truth[i]:
            split.examples[i]["mask"][:] = 255
    split.examples[-1]["mask"][:], split.examples[-1]["label"] = 255, -1
    return split, predictions, np.float32(scores)


def tally_of(split, predictions, scores):
    """The tally of the split; scores None: of a model without a head."""
    known = {} if scores is None else dict(enumerate(scores.tolist()))
    (tally,) = count.count_ways(
        predictions,
        split,
        (count.AS_PREDICTED,),
        to_native=scored.keep,
        image_scores=known,
    )
    return tally


def renamed(split, **fields):
    """The same images under another name and hash."""
    return dataclasses.replace(split, **fields)
