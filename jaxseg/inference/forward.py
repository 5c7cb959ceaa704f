"""Probabilities of one batch: the forward pass of evaluation, over the mesh."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from jaxseg.types import Batch, Normalise


def scale(image: jax.Array, *, mean, std) -> jax.Array:
    """f32 image in [0, 1], standardised by channel: what every model gets."""
    return (image - jnp.asarray(mean, image.dtype).reshape(1, 1, 1, -1)) / jnp.asarray(
        std, image.dtype
    ).reshape(1, 1, 1, -1)


def predict(variables, batch: Batch, *, model: Any, normalise: Normalise):
    """f32 [b, h, w, k]: probabilities of the classes."""
    image = batch["image"].astype(jnp.float32) / 255
    outputs = model.apply(variables, normalise(image), train=False)
    return jax.nn.softmax(outputs["logits"].astype(jnp.float32), axis=-1)


def make_predict(mesh: Mesh, *, model: Any, normalise: Normalise):
    """A jit-compiled `predict(variables, batch)` over the mesh.

    Every device runs one and the same program on a block of the same size, whatever
    the number of devices: that is what makes the counts equal bit for bit.
    """
    rows = P(("data", "fsdp"))
    fn = functools.partial(predict, model=model, normalise=normalise)
    return jax.jit(
        jax.shard_map(
            fn, mesh=mesh, in_specs=(P(), rows), out_specs=rows, check_vma=False
        )
    )
