"""The pictures of validation in TensorBoard: of two classes, and of more."""

import types

import numpy as np
import pytest

from jaxseg import pictures
from jaxseg.evaluation import one_vs_rest
from jaxseg.train import validation


@pytest.mark.parametrize("k", [2, 3])
def test_a_picture_shows_the_prediction_with_what_its_colours_mean(k):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (32, 48, 1), np.uint8)
    mask = rng.integers(0, k, (32, 48), np.uint8)
    probability = rng.dirichlet(np.ones(k), (32, 48)).astype(np.float32)
    classes = ["none", "a", "b"][:k]
    guess = probability.argmax(-1)
    example = {"image": image, "mask": mask}
    drawn = validation._picture(example, probability, lambda p, native: p, classes)
    np.testing.assert_array_equal(drawn, pictures.logged(image, mask, guess, classes))
    assert drawn.shape[:2] == (32, 3 * 48) if k == 2 else drawn.shape[1] == 4 * 48


def test_curves_of_several_classes_are_of_each_against_the_rest():
    rng = np.random.default_rng(0)
    probability = rng.dirichlet(np.ones(3), 500).astype(np.float32)
    label = rng.integers(0, 3, 500).astype(np.uint8)
    pooled, _ = one_vs_rest.count(probability, label, kept=True)
    curves = {}

    class Writer:
        def write_pr_curve(self, step, name, **counts):
            curves[name] = counts

    counted = types.SimpleNamespace(pooled=pooled)
    validation._write_class_curves(Writer(), 5, counted, ["back", "cell", "core"])
    assert [*curves] == ["validation/pixels/cell", "validation/pixels/core"]
    for c, counts in enumerate(curves.values(), 1):
        for k, threshold in enumerate(np.linspace(0, 1, 101)):
            above, own = probability[:, c] > threshold, label == c
            exact = [above & own, above & ~own, ~above & ~own, ~above & own]
            for name, mask in zip(("tp", "fp", "tn", "fn"), exact, strict=True):
                # a bin is 1e-5 of a probability wide
                assert abs(counts[name][k] - mask.sum()) <= 1, (c, k, name)
