"""Lovász-softmax: worked by hand, and IoU itself where the guess is certain."""

import itertools

import jax.numpy as jnp
import numpy as np

from jaxseg.losses import lovasz


def test_worked_by_hand():
    # p .9 .6 .2, y 1 1 0: errors .4 (of class 1), .2 (not), .1 (of it); Jaccard loss
    # after each 1/2, 2/3, 1; .4 * 1/2 + .2 * 1/6 + .1 * 1/3 = 0.2666667
    z = jnp.log(jnp.asarray([[[9.0, 1.5, 0.25]]]))
    got = lovasz.loss(jnp.stack([0 * z, z], -1), jnp.asarray([[[1, 1, 0]]]))
    np.testing.assert_allclose(got, [0.2666667], rtol=1e-5)


def test_a_certain_guess_costs_one_minus_iou():
    masks = np.array(list(itertools.product((0, 1), repeat=3)))
    guess = np.tile(masks, (8, 1)).reshape(64, 1, 3)  # every guess
    truth = np.repeat(masks, 8, 0).reshape(64, 1, 3)  # for every truth
    logits = 1e3 * np.stack([1 - guess, guess], -1).astype(np.float32)
    union = (guess | truth).sum((1, 2))
    want = 1 - (guess & truth).sum((1, 2)) / np.maximum(union, 1)
    got = lovasz.loss(jnp.asarray(logits), jnp.asarray(truth))
    np.testing.assert_allclose(got, np.where(union == 0, 0, want), atol=1e-6)


def test_an_empty_mask_costs_the_boldest_pixel():
    z = jnp.log(jnp.asarray([[[9.0, 1.5, 0.25]]]))
    logits, empty = jnp.stack([0 * z, z], -1), jnp.zeros((1, 1, 3), jnp.int32)
    np.testing.assert_allclose(lovasz.loss(logits, empty), [0.9], rtol=1e-6)
    assert lovasz.loss(logits, empty, absent_weight=0.0) == 0
