"""Bootstrap intervals: seeded, by group, and of the right width."""

import numpy as np
import pytest

from jaxseg.metrics import bootstrap, overlap

KAGGLE = ["dice_kaggle"]


def _terms(n, name="dice_kaggle", seed=0):
    rng = np.random.default_rng(seed)
    tp, fp, fn = rng.integers(1, 50, (3, n))
    return overlap.terms(name, tp=tp, fp=fp, fn=fn, tn=fn)[None]


def test_every_resample_takes_as_many_groups_as_there_are():
    drawn = np.concatenate(list(bootstrap.draws(7, seed=1, resamples=250)))
    assert drawn.shape == (250, 7)
    assert (drawn.sum(axis=1) == 7).all()
    assert abs(drawn.mean() - 1) < 1e-12 and drawn.std() == pytest.approx(0.92, abs=0.1)


def test_same_seed_same_values_and_another_seed_others():
    terms, groups = _terms(20), [str(i) for i in range(20)]
    same = [bootstrap.resample(KAGGLE, terms, groups, seed=3) for _ in range(2)]
    np.testing.assert_array_equal(*same)
    assert same[0].shape == (1, 1000)
    assert (bootstrap.resample(KAGGLE, terms, groups, seed=4) != same[0]).any()


def test_interval_of_a_mean_agrees_with_theory():
    terms = _terms(400)
    value = overlap.divide(*KAGGLE, terms[0].sum(axis=-1))
    error = terms[0, 0].std() / np.sqrt(400)
    drawn = bootstrap.resample(KAGGLE, terms, np.arange(400).astype(str))[0]
    low, high = bootstrap.interval(drawn)
    assert low < value < high
    assert (high - low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.1)


def test_pooled_metrics_pool_again():
    terms = _terms(3, "dice_pooled")
    groups = ["a", "b", "c"]
    drawn = np.concatenate(list(bootstrap.draws(3, seed=0)))
    tp, fp, fn, _ = terms[0] @ drawn.T
    expected = 2 * tp / (2 * tp + fp + fn)
    found = bootstrap.resample(["dice_pooled"], terms, groups)[0]
    np.testing.assert_array_equal(found, expected)


def test_images_of_a_group_move_together():
    """20 copies of 5 images are 5 patients, not 100 images."""
    terms, groups = np.repeat(_terms(5), 20, axis=-1), np.repeat(list("abcde"), 20)
    grouped = bootstrap.resample(KAGGLE, terms, groups)[0]
    single = bootstrap.resample(KAGGLE, _terms(5), list("abcde"))[0]
    np.testing.assert_allclose(grouped, single, rtol=1e-12)
    alone = bootstrap.resample(KAGGLE, terms, np.arange(100).astype(str))[0]
    assert alone.std() < 0.5 * grouped.std()


def test_undefined_resamples_are_left_out():
    tp, none = np.array([5, 0]), np.array([0, 0])
    terms = overlap.terms("dice_pooled", tp=tp, fp=none, fn=none, tn=none)[None]
    drawn = bootstrap.resample(["dice_pooled"], terms, ["a", "b"])[0]
    assert np.isnan(drawn).any() and bootstrap.interval(drawn) == (1.0, 1.0)
    assert bootstrap.interval(np.full(9, np.nan)) == (None, None)
