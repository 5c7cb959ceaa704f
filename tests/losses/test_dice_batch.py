"""Pooled Dice: the whole batch is one image, and padding is not part of it."""

import jax.numpy as jnp
import numpy as np

from jaxseg.losses import dice, dice_batch
from jaxseg.types import IGNORE


def pair():
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(size=(4, 3, 5, 3)), jnp.float32)
    return logits, jnp.asarray(rng.integers(0, 3, (4, 3, 5)))


def test_is_dice_of_the_images_side_by_side():
    logits, mask = pair()
    one = dice.loss(logits.reshape(1, 12, 5, 3), mask.reshape(1, 12, 5))
    np.testing.assert_allclose(
        dice_batch.loss(logits, mask), np.repeat(one, 4), rtol=1e-5
    )


def test_padding_gets_nothing_and_gives_nothing():
    logits, mask = pair()
    short = dice_batch.loss(logits[:3], mask[:3])
    padded = dice_batch.loss(logits, mask.at[3].set(IGNORE))
    np.testing.assert_allclose(padded, [*short, 0], rtol=1e-6)


def test_an_empty_image_beside_a_positive_one_worked_by_hand():
    # Sums: p y = 1, p = 1 + .5, y = 1: 1 - (2 + 1) / (2.5 + 1). Alone, the empty image
    # costs 1 - 1 / 1.5.
    p = np.array([[[1 - 1e-9, 1e-9]], [[0.25, 0.25]]])
    logits = jnp.asarray(np.log(np.stack([1 - p, p], -1)), jnp.float32)
    mask = jnp.asarray([[[1, 0]], [[0, 0]]])
    got = dice_batch.loss(logits, mask)
    np.testing.assert_allclose(got, [1 - 3 / 3.5] * 2, rtol=1e-5)
    np.testing.assert_allclose(dice.loss(logits, mask)[1], 1 - 1 / 1.5, rtol=1e-5)


def test_a_class_that_the_whole_batch_lacks():
    logits, mask = jnp.zeros((2, 1, 2, 2)), jnp.zeros((2, 1, 2), jnp.int32)
    # Four pixels at 0.5: 1 - 1 / (2 + 1).
    np.testing.assert_allclose(dice_batch.loss(logits, mask), [2 / 3] * 2, rtol=1e-6)
    assert (dice_batch.loss(logits, mask, absent_weight=0.0) == 0).all()
