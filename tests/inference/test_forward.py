"""The forward pass of evaluation: standardised images in, probabilities out."""

import functools

import jax
import numpy as np
import pytest
from support import runs, tiny

from jaxseg.config import check
from jaxseg.devices import sharding
from jaxseg.errors import ConfigError
from jaxseg.experiment import from_config
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


@pytest.mark.parametrize(
    "mirror, flips",
    [((), [()]), ((2,), [(), (2,)]), ((1, 2), [(), (1,), (2,), (1, 2)])],
)
def test_mirror_images_are_averaged_as_probabilities(mirror, flips):
    model, batch = tiny.Model(), tiny.batch(0)
    normalise = functools.partial(forward.scale, mean=(0.5,), std=(0.25,))
    image = normalise(batch["image"].astype(np.float32) / 255)
    variables = model.init(jax.random.key(0), image, train=False)

    def answer(axes):
        logits = model.apply(variables, np.flip(image, axes), train=False)["logits"]
        return np.flip(jax.nn.softmax(logits), axes)

    want = sum(answer(axes) for axes in flips) / len(flips)
    mesh = sharding.make_mesh(data=0, fsdp=1)
    run = forward.make_predict(mesh, model=model, normalise=normalise, mirror=mirror)
    got = np.asarray(run(variables, sharding.put(batch, mesh)))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    assert (np.abs(got - answer(())).max() > 1e-4) == bool(mirror)
    flipped = batch | {"image": np.ascontiguousarray(batch["image"][:, :, ::-1])}
    back = np.asarray(run(variables, sharding.put(flipped, mesh)))[:, :, ::-1]
    assert (np.abs(back - got).max() < 1e-5) == (2 in mirror)


def test_axes_are_those_that_training_mirrors():
    config = runs.config("clicks", **{"augment.flip_vertical": 0.0})
    assert from_config.mirrored_axes(config) == ()
    config.eval.mirror = True
    assert from_config.mirrored_axes(config) == (2,)
    check.check(config)
    config.augment.flip_vertical = 0.5
    assert from_config.mirrored_axes(config) == (1, 2)
    config.augment.flip_vertical = config.augment.flip_horizontal = 0.0
    with pytest.raises(ConfigError, match="training mirrors no image"):
        check.check(config)
