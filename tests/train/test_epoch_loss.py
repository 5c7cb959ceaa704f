"""The loss of validation is that of training, and its weights are those of the step."""

import types

import jax.numpy as jnp
import numpy as np
import pytest
from support import tiny

from jaxseg.losses import cross_entropy, dice
from jaxseg.train import epoch_loss
from jaxseg.train_step import step, validation_loss


def _settings(**losses):
    return step.Settings(
        seed=0,
        model=tiny.Model(),
        losses=losses,
        aux_weight=0.4,
        tx=None,
        augment=lambda image, mask, key: (image, mask),
        augment_options={},
        normalise=tiny.normalise,
        total_steps=10,
        accumulate=1,
        ema=0.0,
    )


def _batch():
    rng = np.random.default_rng(0)
    return {
        "image": jnp.asarray(rng.integers(0, 255, (3, 8, 8, 1)), jnp.uint8),
        "mask": jnp.asarray(rng.integers(0, 2, (3, 8, 8)), jnp.uint8),
        "label": jnp.ones(3, jnp.int32),
        "weight": jnp.ones(3),
        "index": jnp.arange(3),
    }


def test_terms_are_those_of_training_at_every_head():
    settings = _settings(cross_entropy=(cross_entropy.loss, 1.0), dice=(dice.loss, 2.0))
    batch = _batch()
    rng = np.random.default_rng(1)
    logits, aux = (jnp.asarray(rng.normal(size=(3, 8, 8, 2)), "f4") for _ in range(2))
    terms = validation_loss.of_images({"logits": logits}, batch, settings)
    ce, overlap = (fn(logits, batch["mask"]) for fn in (cross_entropy.loss, dice.loss))
    np.testing.assert_allclose(terms, np.stack([ce, overlap], 1), rtol=1e-6)
    outputs = {"logits": logits, "aux": aux}
    both = validation_loss.of_images(outputs, batch, settings)
    more = 0.4 * cross_entropy.loss(aux, batch["mask"])
    np.testing.assert_allclose(both[:, 0], ce + more, rtol=1e-6)


def _mean(terms, weight, done, weights):
    plan = types.SimpleNamespace(total_steps=11, steps_per_epoch=5, epochs=3)
    settings = _settings(a=(None, 1.0), b=(None, 1.0))
    experiment = types.SimpleNamespace(plan=plan, settings=settings)
    rows = [(jnp.asarray(terms, "f4"), jnp.asarray(weight, "f4"))]
    return epoch_loss.mean(rows, experiment, weights, done=done)


def test_padding_counts_nowhere_and_schedules_are_at_the_step():
    terms, weight = [[1.0, 10.0], [3.0, 30.0], [99.0, np.nan]], [1, 1, 0]
    weights = {"a": 2.0, "b": ((0.0, 0.0), (1.0, 1.0))}
    assert _mean(terms, weight, 1, weights) == pytest.approx(4.0)
    assert _mean(terms, weight, 11, weights) == pytest.approx(24.0)
    assert _mean(terms, [1, 1, 1], 11, weights) is None
