"""The forward pass of evaluation: standardised images in, probabilities out."""

import functools

import jax
import numpy as np
import pytest
from support import runs, tiny

from jaxseg import errors
from jaxseg.config import check
from jaxseg.devices import sharding
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


@pytest.mark.parametrize("mirror", [(), (1,), (2,), (1, 2)])
def test_a_mirrored_prediction_is_the_mean_over_mirror_images(mirror):
    model, batch = tiny.Model(), tiny.batch(0)
    variables = model.init(jax.random.key(1), np.zeros((1, 16, 16, 1)), train=False)
    options = {"model": model, "normalise": tiny.normalise}

    def plain(*axes):
        flipped = batch | {"image": np.flip(batch["image"], axes)}
        return np.flip(forward.predict(variables, flipped, **options), axes)

    views = [plain()] + [plain(a) for a in mirror] + [plain(1, 2)] * (len(mirror) == 2)
    got = forward.predict(variables, batch, **options, mirror=mirror)
    np.testing.assert_allclose(got, np.mean(views, axis=0), rtol=1e-5, atol=1e-6)
    if not mirror:
        np.testing.assert_array_equal(got, views[0])
        return
    assert np.abs(got - views[0]).max() > 1e-3
    mesh = sharding.make_mesh(data=0, fsdp=1)
    compiled = forward.make_predict(mesh, **options, mirror=mirror)
    on_mesh = compiled(variables, sharding.put(batch, mesh))
    np.testing.assert_allclose(on_mesh, got, rtol=1e-5, atol=1e-6)


def test_predictions_mirror_about_the_axes_that_training_flips():
    flips = {"augment.flip_horizontal": 0.5, "augment.flip_vertical": 0.0}
    for changes, axes in (
        ({}, ()),
        ({"eval.mirror": True}, (2,)),
        ({"eval.mirror": True, "augment.flip_vertical": 0.5}, (1, 2)),
        ({"augment.flip_vertical": 0.5}, ()),
    ):
        config = runs.config("folder", **{"data.dir": "x", **flips, **changes})
        check.check(config)
        card = {"dtype": "uint8", "channels": 1, "classes": ["background", "cell"]}
        assert from_config.parts(config, card).mirror == axes
    none = {"augment.flip_horizontal": 0.0, "eval.mirror": True, "data.dir": "x"}
    with pytest.raises(errors.ConfigError, match="config.augment flips none"):
        check.check(runs.config("folder", **none))
