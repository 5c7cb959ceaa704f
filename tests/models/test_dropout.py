"""Dropout that stays on: the masks of training, and nothing else of it."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import lookup
from jaxseg.models import _dropout, unet

KEY = jax.random.key(3)


class Bare(nn.Module):
    """Nothing but a dropout layer, told to be off by its field or by its call."""

    rate: float = 0.25
    by_call: bool = False
    broadcast_dims: tuple = ()

    @nn.compact
    def __call__(self, x, *, train):
        told = {} if self.by_call else {"deterministic": not train}
        layer = nn.Dropout(self.rate, broadcast_dims=self.broadcast_dims, **told)
        return layer(x, deterministic=not train) if self.by_call else layer(x)


@pytest.mark.parametrize("by_call", [False, True])
def test_a_share_of_the_units_is_left_out_the_same_for_every_image(by_call):
    x = jnp.ones((3, 40, 40, 2))
    out = _dropout.Thinned(Bare(by_call=by_call), KEY).apply({}, x, train=False)
    out = np.asarray(out)
    assert set(np.unique(out)) == {0, np.float32(1 / 0.75)}
    assert (out == 0).mean() == pytest.approx(0.25, abs=0.03)
    np.testing.assert_array_equal(out[1:], out[:1].repeat(2, 0))
    other = _dropout.Thinned(Bare(), jax.random.key(4)).apply({}, x, train=False)
    assert (np.asarray(other) != out).mean() > 0.2
    channels = _dropout.Thinned(Bare(0.5, broadcast_dims=(1, -2)), KEY)
    seen = np.asarray(channels.apply({}, jnp.ones((2, 4, 4, 64)), train=False))
    assert (seen == seen[:1, :1, :1]).all() and 0.3 < (seen == 0).mean() < 0.7
    nothing = _dropout.Thinned(Bare(1.0), KEY).apply({}, x, train=False)
    assert not np.asarray(nothing).any()


def _abstract(model, size=64):
    image = jax.ShapeDtypeStruct((1, size, size, 1), np.float32)
    init = functools.partial(model.init, train=False)
    return jax.eval_shape(init, jax.random.key(1), image), image


def test_one_image_gets_the_masks_of_training():
    """With norms of the image at hand, training differs in its dropout alone."""
    model = unet.Model(num_classes=2, widths=(4, 6), dropout=0.2, norm="group")
    x = jax.random.normal(jax.random.key(0), (1, 16, 16, 1))
    variables = jax.jit(lambda: model.init(jax.random.key(1), x, train=False))()
    ways = [
        _dropout.Thinned(model, KEY).apply,
        functools.partial(model.apply, rngs={"dropout": KEY}),
    ]
    thinned, trained = (
        jax.jit(functools.partial(way, train=train))(variables, x)["logits"]
        for way, train in zip(ways, (False, True), strict=True)
    )
    np.testing.assert_allclose(thinned, trained, atol=1e-6)
    usual = jax.jit(functools.partial(model.apply, train=False))(variables, x)
    assert abs(thinned - usual["logits"]).max() > 1e-3


@pytest.mark.parametrize("name", ["unet", "deeplabv3_plus", "swin_upernet"])
def test_the_rates_that_evaluation_goes_through(name):
    module = lookup.find("models", name)
    model = module.Model(num_classes=2, **module.TINY)
    rates = _dropout.rates(model, *_abstract(model))
    assert set(rates) == ({0.1} if "dropout" in module.TINY else set())
    if rates:
        assert _dropout.rates(model.clone(dropout=0.0), *_abstract(model)) == []
