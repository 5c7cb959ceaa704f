"""Losses get what their arguments name, an image head's logits among it."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support import runs, tiny

from jaxseg import errors
from jaxseg.devices import sharding
from jaxseg.experiment import from_config
from jaxseg.train_step import state, step


class WithImageHead(nn.Module):
    """The tiny model with one more output: logits of the whole image."""

    num_classes: int = 2

    @nn.compact
    def __call__(self, image, *, train: bool):
        outputs = tiny.Model(self.num_classes)(image, train=train)
        pooled = jnp.max(outputs["logits"], (1, 2))
        return outputs | {"image_logits": nn.Dense(2, name="image_head")(pooled)}


def image_cross_entropy(image_logits, label):
    """Cross-entropy of the image-level label."""
    return optax.softmax_cross_entropy_with_integer_labels(image_logits, label)


def _start(**changes):
    settings = tiny.settings(model=WithImageHead(), **changes)
    mesh = sharding.make_mesh(data=0, fsdp=1)
    init = {"model": settings.model, "tx": settings.tx}
    init |= {"image_shape": (16, 16, 1), "ema": False}
    shapes = state.abstract(mesh, **init)
    return settings, state.create(0, shapes, **init), shapes, mesh


def test_a_loss_of_the_whole_image_trains_beside_one_of_pixels():
    terms = {"pixels": (tiny.loss, 1.0), "image": (image_cross_entropy, 1.0)}
    settings, now, shapes, mesh = _start(losses=terms, tx=optax.adam(3e-2))
    run = step.compile_step(settings, shapes)
    history = []
    for k in range(40):
        now, numbers = run(now, sharding.put(tiny.batch(k), mesh))
        history.append(jax.device_get(numbers))
    assert history[-1]["loss/image"] < 0.5 * history[0]["loss/image"]
    # the auxiliary head has pixels alone, so the image term is counted once
    assert "loss/aux_pixels" in history[0] and "loss/aux_image" not in history[0]
    first = history[0]
    total = first["loss/pixels"] + 0.4 * first["loss/aux_pixels"] + first["loss/image"]
    np.testing.assert_allclose(first["loss"], total, rtol=1e-6)


def test_a_loss_that_asks_for_an_output_the_model_lacks_is_refused_before_training():
    terms = {"image": (image_cross_entropy, 1.0)}
    settings, _, shapes, _ = _start(losses=terms)
    from_config.check_outputs(settings, shapes, (16, 16, 1), 2)
    plain = tiny.settings(losses=terms)
    init = {"model": plain.model, "tx": plain.tx, "image_shape": (16, 16, 1)}
    shapes = state.abstract(sharding.make_mesh(data=0, fsdp=1), ema=False, **init)
    words = r"loss.image learns from image_logits, .* \['aux', 'logits'\]"
    with pytest.raises(errors.ConfigError, match=words):
        from_config.check_outputs(plain, shapes, (16, 16, 1), 2)


@pytest.mark.parametrize(
    "loss, names",
    [
        (tiny.loss, ("logits", "mask")),
        (image_cross_entropy, ("label", "image_logits")),
        (lambda teacher, image, sharpness=2: 0, ("image", "teacher")),
    ],
)
def test_what_a_loss_asks_for_is_read_from_its_arguments(loss, names):
    assert step.asks_for(loss) == names


def test_losses_of_a_recipe_ask_for_logits_and_mask():
    terms = from_config.losses(runs.config("folder"), np.ones((1, 2), int))
    assert terms
    for fn, _ in terms.values():
        assert step.asks_for(fn)[:2] == ("logits", "mask")


@pytest.mark.parametrize(
    "loss",
    [
        lambda logits, mask: jnp.mean(logits),
        lambda logits, mask: jnp.mean(logits, (1, 2))[:, :1],
        lambda logits, mask: logits[..., 0],
    ],
    ids=["scalar", "[b, 1]", "[b, h, w]"],
)
def test_a_loss_that_is_not_one_number_an_image_is_refused(loss):
    """Broadcasting would make another loss of it without a word."""
    settings, now, shapes, mesh = _start(losses={"mine": (loss, 1.0)})
    with pytest.raises(errors.ConfigError, match=r"loss.mine returned an array \("):
        step.compile_step(settings, shapes)(now, sharding.put(tiny.batch(0), mesh))


class HalfSize(nn.Module):
    """A model whose logits are not of the size of the image."""

    num_classes: int = 2

    @nn.compact
    def __call__(self, image, *, train: bool):
        return {"logits": nn.Conv(self.num_classes, (1, 1), strides=2)(image)}


def test_logits_of_another_size_are_refused_before_training():
    settings = tiny.settings(model=HalfSize())
    init = {"model": settings.model, "tx": settings.tx, "image_shape": (16, 16, 1)}
    shapes = state.abstract(sharding.make_mesh(data=0, fsdp=1), ema=False, **init)
    words = r"must return {'logits': \(1, 16, 16, 2\)} .* \(1, 8, 8, 2\)"
    with pytest.raises(errors.ConfigError, match=words):
        from_config.check_outputs(settings, shapes, (16, 16, 1), 2)
