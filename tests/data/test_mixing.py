"""Erasing, CutMix and MixUp change image and labels together."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import runs, tiny

from jaxseg.config import check
from jaxseg.data import mixing
from jaxseg.errors import ConfigError
from jaxseg.experiment import from_config
from jaxseg.train_step import state, step
from jaxseg.types import IGNORE

B, H, W = 64, 24, 32
# every example has a value of its own, in image and mask
IMAGE = jnp.broadcast_to(
    jnp.arange(B, dtype=jnp.float32)[:, None, None, None], (B, H, W, 2)
)
MASK = jnp.broadcast_to(jnp.arange(B)[:, None, None], (B, H, W))


@functools.cache
def mixed(**settings) -> mixing.Mixed:
    fn = jax.jit(functools.partial(mixing.mix, **settings))
    return jax.tree.map(np.asarray, fn(IMAGE, MASK, jax.random.key(3)))


def test_nothing_is_changed_unless_asked():
    out = mixing.mix(IMAGE, MASK, jax.random.key(0))
    assert out.image is IMAGE and out.mask is MASK and out.partner is None


def test_cutmix_takes_one_rectangle_of_image_and_mask_from_the_example_before():
    out = mixed(cutmix=0.5)
    np.testing.assert_array_equal(out.image[..., 0], out.mask)
    own = np.asarray(MASK)
    foreign = out.mask != own
    assert np.isin(np.where(foreign, (out.mask - own) % B, B - 1), [B - 1]).all()
    changed = foreign.any((1, 2))
    assert 0.3 < changed.mean() < 0.7
    for area in foreign[changed]:
        rows, columns = np.flatnonzero(area.any(1)), np.flatnonzero(area.any(0))
        assert area[np.ix_(rows, columns)].all() and len(rows) == rows[-1] - rows[0] + 1
        assert abs(len(rows) / H - len(columns) / W) < 0.1  # the shape of the image
    shares = mixed(cutmix=1.0).mask != own
    assert 0.4 < shares.mean() < 0.6  # uniform for alpha 1


def test_what_is_erased_is_not_labelled_and_has_the_mean_colour():
    image = IMAGE + jnp.arange(W)[None, None, :, None]  # its mean is not its value
    out = mixing.mix(image, MASK, jax.random.key(0), erase=1.0, erase_area=(0.1, 0.3))
    erased = np.asarray(out.mask == IGNORE)
    shares = erased.mean((1, 2))
    assert shares.min() > 0.08 and shares.max() < 0.33 and shares.std() > 0.03
    mean = np.asarray(image.mean((1, 2), keepdims=True))
    np.testing.assert_allclose(
        out.image, np.where(erased[..., None], mean, image), rtol=1e-5
    )
    np.testing.assert_array_equal(
        np.asarray(out.mask)[~erased], np.asarray(MASK)[~erased]
    )


def test_mixup_blends_the_batch_with_the_examples_before():
    out = mixed(mixup=1.0, mixup_alpha=0.4)
    share = float(out.share)
    assert 0.5 <= share < 1
    np.testing.assert_array_equal(out.partner, np.roll(MASK, 1, 0))
    blend = share * MASK + (1 - share) * np.roll(MASK, 1, 0)
    np.testing.assert_allclose(out.image[..., 1], blend, rtol=1e-5, atol=1e-5)
    off = mixing.mix(IMAGE, MASK, jax.random.key(1), mixup=1e-9)
    assert float(off.share) == 1


def test_the_loss_is_blended_as_the_images_are():
    settings = tiny.settings(mix={"mixup": 1.0, "mixup_alpha": 0.4}, aux_weight=0.0)
    init = {"model": settings.model, "tx": settings.tx, "image_shape": (16, 16, 1)}
    now = state.init(jax.random.key(0), **init, ema=False)
    batch = tiny.batch()
    _, numbers = step.train_step(now, batch, settings)
    key = jax.random.fold_in(jax.random.key(0), 0)
    augment_key = jax.random.fold_in(jax.random.split(key)[0], 0)
    out = mixing.mix(
        jnp.asarray(batch["image"]) / 255,
        batch["mask"],
        jax.random.fold_in(augment_key, 2**20),
        **settings.mix,
    )
    variables = {"params": now.params, **now.model_state}
    image = tiny.normalise(out.image)
    outputs, _ = settings.model.apply(
        variables, image, train=True, mutable=["batch_stats"]
    )
    own, other = (
        float(tiny.loss(outputs["logits"], m).mean()) for m in (out.mask, out.partner)
    )
    want = out.share * own + (1 - out.share) * other
    np.testing.assert_allclose(numbers["loss"], want, rtol=1e-5)
    assert abs(own - other) > 0.01 and out.share < 0.99


def test_losses_of_whole_images_cannot_be_mixed():
    config = runs.config("pneumothorax", **{"mix.cutmix": 0.5})
    config.loss.image_label.weight = 0.1
    check.check(config)
    with pytest.raises(ConfigError, match="image_label learns from label .* blend"):
        from_config.mix(config, from_config.losses(config, np.ones((1, 2), int)))


@pytest.mark.parametrize(
    ("key", "value"), [("erase", 1.5), ("cutmix", -0.1), ("mixup_alpha", 0.0)]
)
def test_probabilities_and_shapes_are_checked(key, value):
    with pytest.raises(ConfigError, match=rf"config.mix.{key} is {value}"):
        check.check(runs.config("clicks", **{f"mix.{key}": value}))
