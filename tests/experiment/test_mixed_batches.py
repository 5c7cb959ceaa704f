"""Phantom cracks with few masks: the batches of a run, from its start or its middle."""

import numpy as np
from support import runs

from jaxseg.experiment import build
from jaxseg.types import IGNORE


def test_batches_of_cracks_with_few_masks_go_on_in_the_middle_of_an_epoch():
    config = runs.config(
        "folder",
        **runs.SMALL,
        **{
            "data.name": "sccdnet",
            "data.demo.images": 32,
            "data.demo.size": 64,
            "data.image_size": (48, 48),
            "supervision.name": "mixed",
            "supervision.masks": 3.0,
            "sampler.name": "frequency",
            "batch_size": 4,
            "loss.cross_entropy.class_weights": None,
        },
    )
    with config.unlocked():
        config.data.options = {}  # those of the folder
    experiment = build.load(config, batch_size=4)
    split, labels = experiment.splits["train"], experiment.labels()
    assert np.count_nonzero(labels.whole & split.positive) == 3
    steps = 3 * experiment.plan.steps_per_epoch - 1
    batches = list(build.train_batches(experiment, steps=steps))
    later = list(build.train_batches(experiment, steps=steps, start=steps // 2))
    assert steps // 2 % experiment.plan.steps_per_epoch  # within an epoch
    for one, other in zip(batches[steps // 2 :], later, strict=True):
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])
    shown = {True: set(), False: set()}  # {positive with its mask: classes}
    for batch in batches:
        assert (batch["label"] > 0).sum() == 2  # half of every batch
        for index, mask in zip(batch["index"], batch["mask"], strict=True):
            if split.positive[index]:
                shown[bool(labels.whole[index])] |= {*np.unique(mask).tolist()}
            else:
                assert not mask.any()
    assert shown == {True: {0, 1}, False: {IGNORE}}
