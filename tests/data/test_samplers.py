"""The order of examples is a pure function, exact in its shares."""

import numpy as np
import pytest

from jaxseg import errors, lookup
from jaxseg.data.samplers import balanced, uniform

POSITIVE = np.arange(200) % 5 == 0  # 40 of 200
OPTIONS = {
    "uniform": {},
    "balanced": {"share": 0.5, "negative_keep": 0.15, "positive_weight": 1.5},
}


def _orders(name, epochs, size, positive=POSITIVE, **changes):
    module = lookup.find("data/samplers", name)
    options = {**OPTIONS[name], **changes}
    return [
        module.order(positive, seed=3, epoch=e, epochs=epochs, size=size, **options)
        for e in range(epochs)
    ]


@pytest.mark.parametrize("name", lookup.names("data/samplers"))
def test_every_sampler_is_pure_and_in_range(name):
    first, second = _orders(name, 3, 48), _orders(name, 3, 48)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first[0], first[1])
    other = lookup.find("data/samplers", name).order(
        POSITIVE, seed=4, epoch=0, epochs=3, size=48, **OPTIONS[name]
    )
    assert not np.array_equal(first[0], other)
    assert first[0].shape == (48,)
    assert min(map(np.min, first)) >= 0 and max(map(np.max, first)) < 200


def test_uniform_reads_every_example_equally_often_across_epochs_that_do_not_fit():
    seen = np.bincount(np.concatenate(_orders("uniform", 25, 48)), minlength=200)
    assert set(seen) == {6}  # 25 x 48 = 6 x 200


@pytest.mark.parametrize("share", [0.25, 0.5, 0.73, 1.0, ((0.0, 0.8), (1.0, 0.4))])
def test_the_realised_share_equals_the_target(share):
    options = {**OPTIONS["balanced"], "share": share}
    for epoch, order in enumerate(_orders("balanced", 9, 64, share=share)):
        target = balanced.share(POSITIVE, epoch=epoch, epochs=9, **options)
        assert abs(np.mean(POSITIVE[order]) - target) <= 1 / 64
        for batch in order.reshape(8, 8):
            assert abs(np.sum(POSITIVE[batch]) - 8 * target) < 2


def test_positives_and_negatives_are_each_seen_equally_often():
    seen = np.bincount(
        np.concatenate(_orders("balanced", 40, 48, share=0.4)), minlength=200
    )
    assert np.ptp(seen[POSITIVE]) <= 1 and np.ptp(seen[~POSITIVE]) <= 1


def test_the_published_recipe():
    positive = np.arange(10675) < 2379  # stage 1: 2379 positives, 8296 negatives
    options = {"share": -1.0, "negative_keep": 0.15, "positive_weight": 1.5}
    assert balanced.epoch_size(positive, **options) == 3623
    target = balanced.share(positive, epoch=0, epochs=200, **options)
    assert target == pytest.approx(1.5 * 2379 / (1.5 * 2379 + 1244))


def test_epoch_sizes():
    assert uniform.epoch_size(POSITIVE) == 200
    assert balanced.epoch_size(POSITIVE, **OPTIONS["balanced"]) == 40 + 24


def test_one_kind_only_is_an_error():
    with pytest.raises(errors.DataError, match="0 positives of 200"):
        balanced.epoch_size(np.zeros(200, bool), **OPTIONS["balanced"])


@pytest.mark.parametrize("share", [1.2, ((0.0, 0.5), (0.0, 0.4)), "half"])
def test_a_share_that_is_none(share):
    with pytest.raises(errors.ConfigError, match="share"):
        balanced.epoch_size(POSITIVE, **{**OPTIONS["balanced"], "share": share})
