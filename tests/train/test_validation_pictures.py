"""The pictures of validation in TensorBoard: of two classes, and of more."""

import numpy as np
import pytest

from jaxseg import pictures
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
