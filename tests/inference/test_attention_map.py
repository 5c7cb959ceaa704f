"""Maps of where a head looks: exact where they can be, and of any head and model."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import tiny

from jaxseg.devices import sharding
from jaxseg.errors import ConfigError
from jaxseg.inference import attention_map
from jaxseg.models import _decided, _heads


class Encoder(nn.Module):
    """Features at half the size, and logits."""

    num_classes: int = 2

    @nn.compact
    def __call__(self, image, *, train: bool):
        x = nn.Conv(6, (3, 3), strides=2)(image)
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
        logits = jnp.repeat(jnp.repeat(nn.Conv(2, (1, 1))(x), 2, 1), 2, 2)
        return {"logits": logits, "features": x}


def _made(head):
    model = _decided.Decided(Encoder(), head)
    image = jnp.asarray(tiny.batch(0)["image"] / 255, jnp.float32)
    start = jax.jit(functools.partial(model.init, train=False))
    return model, start(jax.random.key(0), image), image


def _predicted(model, variables, batch):
    look = functools.partial(attention_map.predict, model=model, normalise=lambda x: x)
    return jax.jit(look)(variables, batch)


def test_of_average_pooling_it_is_the_class_activation_map():
    model, variables, image = _made(_heads.Pooled(outputs=3))
    batch = {"image": tiny.batch(0)["image"]}
    maps = _predicted(model, variables, batch)
    features = Encoder().apply(variables, image, train=False)["features"]
    kernel = variables["params"]["decision"]["out"]["kernel"]
    cam = jax.nn.relu(features @ kernel) / np.prod(features.shape[1:3])
    cam = jax.image.resize(cam, (*image.shape[:3], 3), "linear")
    assert maps.shape == (*image.shape[:3], 3) and float(maps.max()) > 0
    np.testing.assert_allclose(maps, cam, rtol=1e-4, atol=1e-8)


def test_of_any_head_it_is_the_mean_gradient_times_the_features():
    head = _heads.Pooled(pool="both", outputs=2)
    model, variables, image = _made(head)
    outputs = Encoder().apply(variables, image, train=False)
    own = {"params": variables["params"]["decision"]}
    maps = attention_map.of_features(head, own, outputs["features"], outputs["logits"])

    def logit(features, k):
        return head.apply(own, features, outputs["logits"], train=False)[:, k].sum()

    for k in range(2):
        slope = jax.grad(logit)(outputs["features"], k).mean((1, 2), keepdims=True)
        wanted = jax.nn.relu((slope * outputs["features"]).sum(-1))
        np.testing.assert_allclose(maps[..., k], wanted, rtol=1e-4, atol=1e-7)


def test_a_head_that_protects_the_model_is_seen_all_the_same():
    """The multipliers of SegDecNet's head are 0: no gradient would come back."""
    model, variables, image = _made(_heads.SegDec(widths=(4,), kernel=3))
    batch = {"image": tiny.batch(0)["image"]}
    maps = _predicted(model, variables, batch)
    assert maps.shape[-1] == 1 and float(jnp.abs(maps).max()) > 0


def test_it_is_compiled_for_every_device():
    model, variables, _ = _made(_heads.Pooled(outputs=3))
    mesh = sharding.make_mesh(data=0, fsdp=1)
    size = 2 * jax.device_count()
    batch = {"image": tiny.batch(0, size)["image"]}
    look = attention_map.make_predict(mesh, model=model, normalise=lambda x: x)
    alone = _predicted(model, variables, batch)
    np.testing.assert_allclose(look(variables, batch), alone, rtol=1e-5, atol=1e-7)


def test_a_model_without_a_head_is_refused():
    with pytest.raises(ConfigError, match="config.decision.name.*'pooled'"):
        attention_map.check(Encoder())
