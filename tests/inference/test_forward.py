"""The forward pass of evaluation: standardised images in, probabilities out."""

import functools

import jax
import numpy as np
from support import tiny

from jaxseg.inference import forward


def test_images_are_standardised_by_channel():
    image = np.random.default_rng(0).random((2, 4, 5, 3)).astype(np.float32)
    mean, std = (0.5, 0.25, 0.0), (0.25, 0.5, 1.0)
    scaled = forward.scale(image, mean=mean, std=std)
    for c in range(3):
        expected = (image[..., c] - mean[c]) / std[c]
        np.testing.assert_allclose(scaled[..., c], expected, rtol=1e-6)


def test_probabilities_are_the_softmax_of_the_logits():
    model, batch = tiny.Model(), tiny.batch(0)
    normalise = functools.partial(forward.scale, mean=(0.5,), std=(0.25,))
    image = (batch["image"].astype(np.float32) / 255 - 0.5) / 0.25
    variables = model.init(jax.random.key(0), image, train=False)
    logits = np.asarray(model.apply(variables, image, train=False)["logits"])
    p = forward.predict(variables, batch, model=model, normalise=normalise)
    expected = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p, expected, rtol=1e-5, atol=1e-6)
