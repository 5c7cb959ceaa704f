"""Class weights by name are the numbers of their formulas."""

import numpy as np
import pytest
from support import runs

from jaxseg import errors
from jaxseg.config import check
from jaxseg.data import class_weights

# labelled pixels of three classes in four images; 900, 90 and 10 of 1000 in all
PIXELS = np.array([[250, 0, 0], [200, 50, 0], [210, 30, 10], [240, 10, 0]])
# Worked by hand. inverse: 1000 / (3 n). sqrt: roots .6086, 1.9245, 5.7735 over their
# mean .9 x .6086 + .09 x 1.9245 + .01 x 5.7735 = .77864. median: f = 900 / 1000,
# 90 / 750, 10 / 250 with median .12, so .1333, 1, 3 over .12 + .09 + .03 = .24.
# effective: V = 1000 / 3, E = V (1 - (1 - 3 / 1000)^n) = 311.022, 78.977, 9.866, so
# .0032152, .0126619, .101358 over .0050468 in the mean. Caps of 4: the larger two of
# inverse come down to 4 x .37037 over .48148; sqrt keeps its 1.9245 and lowers 5.7735
# to 2.4343 over .74525.
TABLE = {
    ("none", 0): None,
    ("none", 4): None,
    ("auto", 0): (0.370370, 3.703704, 33.333333),
    ("inverse", 0): (0.370370, 3.703704, 33.333333),
    ("sqrt", 0): (0.781586, 2.471591, 7.414773),
    ("median", 0): (0.555556, 4.166667, 12.5),
    ("effective", 0): (0.637082, 2.508897, 20.083564),
    ("inverse", 4): (0.769231, 3.076923, 3.076923),
    ("auto", 4): (0.769231, 3.076923, 3.076923),
    ("sqrt", 4): (0.816601, 2.582333, 3.266405),
    ("median", 4): (0.769231, 3.076923, 3.076923),
}


@pytest.mark.parametrize("name, cap", TABLE)
def test_weights_by_name(name, cap):
    got = class_weights.by_name(name, PIXELS, cap=cap)
    want = TABLE[name, cap]
    assert got is None if want is None else got == pytest.approx(want, rel=2e-4)


@pytest.mark.parametrize("name", class_weights.NAMES)
@pytest.mark.parametrize("cap", [0.0, 1.0, 7.5])
def test_the_weight_of_an_average_pixel_is_one_and_the_cap_holds(name, cap):
    rng = np.random.default_rng(0)
    pixels = rng.integers(1, (100_000, 9_000, 300, 20), (30, 4))
    weights = class_weights.by_name(name, pixels, cap=cap)
    weights = np.ones(4) if weights is None else np.array(weights)
    assert np.sum(pixels.sum(0) * weights) / pixels.sum() == pytest.approx(1)
    assert not cap or weights.max() <= cap * weights.min() * (1 + 1e-9)
    assert np.all(np.diff(weights) >= -1e-12)  # rarer classes never weigh less


@pytest.mark.parametrize("name", ["inverse", "sqrt", "median", "effective"])
def test_a_class_without_pixels_weighs_one_and_changes_no_scale(name):
    gone = PIXELS * np.array([1, 0, 1])
    for cap in (0, 4):
        weights = class_weights.by_name(name, gone, cap=cap)
        assert weights[1] == 1 and weights[2] > weights[0]
        if cap or name != "inverse":
            mean = np.sum(gone.sum(0) * weights) / gone.sum()
            assert mean == pytest.approx(1)
    assert class_weights.by_name(name, 0 * PIXELS) is None


def test_auto_is_bit_for_bit_what_older_runs_were_trained_with():
    rng = np.random.default_rng(1)
    for _ in range(50):
        pixels = rng.integers(1, 10**6, (7, 5))
        counts = pixels.sum(0).tolist()
        before = tuple(sum(counts) / (len(counts) * n) for n in counts)
        assert class_weights.by_name("auto", pixels) == before


def test_a_wrong_name_or_cap_is_one_sentence():
    for changes, message in (
        ({"class_weights": "medain"}, "'medain'.*did you mean 'median'"),
        ({"class_weights": "sqrt", "class_weight_cap": 0.5}, "cap is 0.5; .*1 or more"),
        ({"class_weights": (1.0, 2.0), "class_weight_cap": 5.0}, "could bound"),
    ):
        config = runs.config("folder", **{"data.dir": "somewhere"})
        config.loss.focal.update(changes)
        with pytest.raises(errors.ConfigError, match=message):
            check.check(config)
