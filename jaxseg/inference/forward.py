"""Predicts the probabilities of one batch: the forward pass of evaluation."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from jaxseg import types
from jaxseg.types import Batch, Normalise


def scale(
    image: Float[Array, "b h w c"], *, mean: Sequence[float], std: Sequence[float]
) -> Float[Array, "b h w c"]:
    """Standardises an image in [0, 1] by channel: what every model gets."""
    mean, std = (jnp.asarray(x, image.dtype).reshape(1, 1, 1, -1) for x in (mean, std))
    return (image - mean) / std


def predict(
    variables: Any,
    batch: Batch,
    *,
    model: Any,
    normalise: Normalise,
    mirror: tuple[int, ...] = (),
) -> Float[Array, "b h w k"]:
    """Probabilities of the classes, float32.

    `mirror` are axes, 1 = height and 2 = width: the mean over the image and its mirror
    images about each and all of them, mirrored back, as nnU-Net predicts (Isensee et
    al., 2021, https://doi.org/10.1038/s41592-020-01008-z).
    """
    image = normalise(types.unit_interval(batch["image"]))
    whole = _probabilities(variables, image, model)
    views = [
        axes
        for count in range(1, len(mirror) + 1)
        for axes in itertools.combinations(mirror, count)
    ]
    if not views:
        return whole
    for axes in views:
        seen = _probabilities(variables, jnp.flip(image, axes), model)
        whole = whole + jnp.flip(seen, axes)
    return whole / (1 + len(views))


def _probabilities(variables, image, model):
    outputs = model.apply(variables, image, train=False)
    return jax.nn.softmax(outputs["logits"].astype(jnp.float32), axis=-1)


def make_predict(
    mesh: Mesh, *, model: Any, normalise: Normalise, mirror: tuple[int, ...] = ()
) -> Callable:
    """Compiles `predict(variables, batch)` for the mesh.

    Every device runs one and the same program on a block of the same size, whatever
    the number of devices: that is what makes the counts equal bit for bit.
    """
    rows = P(("data", "fsdp"))
    fn = functools.partial(predict, model=model, normalise=normalise, mirror=mirror)
    return jax.jit(
        jax.shard_map(
            fn, mesh=mesh, in_specs=(P(), rows), out_specs=rows, check_vma=False
        )
    )
