"""Deep supervision: the mask of each level, the weights, and the loss of a step."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support import runs, tiny

from jaxseg.devices import sharding
from jaxseg.errors import ConfigError
from jaxseg.experiment import from_config
from jaxseg.train_step import deep_supervision, state, step
from jaxseg.types import IGNORE


def test_a_coarser_mask_is_the_nearest_pixel_as_by_nearest_exact():
    mask = np.arange(2 * 8 * 12, dtype=np.uint8).reshape(2, 8, 12) % 7
    got = deep_supervision.coarser(jnp.asarray(mask), (4, 6))
    np.testing.assert_array_equal(got, mask[:, 1::2, 1::2])
    got = deep_supervision.coarser(jnp.asarray(mask), (2, 3))
    np.testing.assert_array_equal(got, mask[:, 2::4, 2::4])
    same = deep_supervision.coarser(jnp.asarray(mask), (8, 12))
    np.testing.assert_array_equal(same, mask)


def test_what_is_not_labelled_or_outside_stays_unlabelled():
    mask = np.ones((1, 5, 6), np.uint8)
    mask[0, 1, 3] = IGNORE
    got = np.asarray(deep_supervision.coarser(jnp.asarray(mask), (3, 3)))[0]
    want = np.ones((3, 3), np.uint8)
    want[0, 1] = want[2] = IGNORE  # row 5 of the image, which it has not
    np.testing.assert_array_equal(got, want)


def test_a_map_of_another_size_is_refused():
    mask = jnp.zeros((1, 16, 16), jnp.uint8)
    with pytest.raises(ConfigError, match=r"\(6, 5\) pixels for an image of \(16, 16"):
        deep_supervision.coarser(mask, (6, 5))


def test_weights_are_halves_that_sum_to_one():
    got = deep_supervision.weights((), 3)
    np.testing.assert_allclose(got, np.array([4, 2, 1]) / 7)
    assert deep_supervision.weights((1.0, 0.0, 0.3), 3) == (1.0, 0.0, 0.3)
    for wrong in ((1.0,), (1.0, -1.0, 1.0), (0.0, 0.0, 0.0), (1.0, float("nan"), 1.0)):
        with pytest.raises(ConfigError, match="logits at 3 levels"):
            deep_supervision.weights(wrong, 3)


class Deep(nn.Module):
    """The tiny model with logits of half and of a quarter of the size."""

    num_classes: int = 2

    @nn.compact
    def __call__(self, image, *, train: bool):
        outputs = tiny.Model(self.num_classes)(image, train=train)
        del outputs["aux"]
        halves = [outputs["logits"][:, ::f, ::f] for f in (2, 4)]
        heads = [nn.Dense(2, name=f"head{i}")(x) for i, x in enumerate(halves, 2)]
        return outputs | {"deep": heads}


def image_term(logits, mask, image):
    """A term that needs the image at the size of the logits."""
    return jnp.mean(logits * image, (1, 2, 3))


def _step(**changes):
    terms = {"pixels": (tiny.loss, 1.0), "image": (image_term, 2.0)}
    settings = tiny.settings(model=Deep(), losses=terms, **changes)
    mesh = sharding.make_mesh(data=0, fsdp=1)
    init = {"model": settings.model, "tx": optax.sgd(0.0), "ema": False}
    shapes = state.abstract(mesh, image_shape=(16, 16, 1), **init)
    now = state.create(0, shapes, image_shape=(16, 16, 1), **init)
    before = jax.device_get(now)
    settings = settings._replace(tx=optax.sgd(0.0))
    _, numbers = step.compile_step(settings, shapes)(
        now, sharding.put(tiny.batch(0), mesh)
    )
    return before, jax.device_get(numbers)


@pytest.mark.parametrize("given", [(), (1.0, 0.5, 0.0)])
def test_the_loss_is_the_weighted_sum_of_the_levels(given):
    before, numbers = _step(deep_weights=given)
    batch = tiny.batch(0)
    outputs, _ = Deep().apply(
        {"params": before.params, **before.model_state},
        tiny.normalise(batch["image"] / np.float32(255)),
        train=True,
        mutable=["batch_stats"],
    )
    mask = batch["mask"]
    values = [tiny.loss(outputs["logits"], mask).mean()]
    for i, logits in enumerate(outputs["deep"], 1):
        part = tiny.loss(logits, mask[:, 2**i // 2 :: 2**i, 2**i // 2 :: 2**i])
        values.append(part.mean())
        np.testing.assert_allclose(numbers[f"loss/deep{i}_pixels"], part.mean(), 1e-5)
    weights = given or np.array([4, 2, 1]) / 7
    total = np.dot(weights, values) + 2 * numbers["loss/image"]
    np.testing.assert_allclose(numbers["loss"], total, rtol=1e-5)
    assert not any("deep" in name and "image" in name for name in numbers)


@pytest.mark.parametrize("name", ["unet", "attention_unet", "attention_resunet"])
def test_sparse_labels_and_deep_supervision_are_refused(name):
    changes = {"model.name": name, f"model.{name}.widths": (4, 4, 4, 4)}
    config = runs.config("clicks", **changes)
    from_config.model(config, 2)
    config.model[name].deep_supervision = True
    with pytest.raises(ConfigError, match="supervision.name='clicks'"):
        from_config.model(config, 2)
    config.supervision.name = "full"
    assert from_config.model(config, 2).deep_supervision
