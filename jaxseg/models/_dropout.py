"""Leaves the dropout of any Linen model on while all else is as in evaluation.

Norms keep their statistics: only what a layer `flax.linen.Dropout` does is replaced.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array


class Thinned(NamedTuple):
    """A Linen model of which a part of the units is left out; used as the model is.

    `key` draws the units. They are the same for all images along the first axis of a
    batch: one key is one network, whatever it is shown and whatever lies beside it.
    """

    model: Any
    key: Array

    def apply(self, variables: Any, image: Array, *, train: bool) -> Any:
        """The outputs of `model`; its layers see `train`, which is False."""
        with nn.intercept_methods(_left_on):
            return self.model.apply(
                variables, image, train=train, rngs={"dropout": self.key}
            )


def rates(model: Any, variables: Any, image: Any) -> list[float]:
    """The rates above 0 of the dropout that a model goes through in evaluation.

    `image` is what it gets, or its shape and type; nothing is computed.
    """
    out: list[float] = []

    def note(next_fun, args, kwargs, context):
        if _is_dropout(context) and context.module.rate > 0:
            out.append(float(context.module.rate))
        return next_fun(*args, **kwargs)

    with nn.intercept_methods(note):
        jax.eval_shape(lambda v, x: model.apply(v, x, train=False), variables, image)
    return out


def _is_dropout(context: Any) -> bool:
    return isinstance(context.module, nn.Dropout) and context.method_name == "__call__"


def _left_on(next_fun, args, kwargs, context):
    """What a dropout layer does in training, with one mask for the whole batch."""
    layer = context.module
    if not _is_dropout(context) or layer.rate == 0:
        return next_fun(*args, **kwargs)
    x = args[0] if args else kwargs["inputs"]
    if layer.rate == 1:
        return jnp.zeros_like(x)
    shared = {0, *(axis % x.ndim for axis in layer.broadcast_dims)}
    shape = [1 if axis in shared else n for axis, n in enumerate(x.shape)]
    share = 1.0 - layer.rate
    kept = jax.random.bernoulli(layer.make_rng(layer.rng_collection), share, shape)
    return jnp.where(kept, x / share, jnp.zeros_like(x))
