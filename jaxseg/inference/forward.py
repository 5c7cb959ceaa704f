"""Predicts the probabilities of one batch: the forward pass of evaluation.

What a model says of whole images travels behind its maps, as channels that hold one
number each: so tiles, mirror images, ensembles and every door carry it along.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from jaxseg import types
from jaxseg.devices import compiler
from jaxseg.types import Batch, Normalise, Target


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
    mirror: Sequence[int] = (),
    target: Target | None = None,
    exclusive: bool = False,
    pixels: bool = True,
    also: Callable | None = None,
) -> Any:
    """Probabilities f32 [b h w n] of the classes, and after them the maps of `target`.

    Behind these come the sigmoids of `image_logits`, of a model that has them, each the
    same at every pixel of the image; with `exclusive` the softmax of several. Without
    `pixels` nothing was learned of them, and the first one alone comes back, [b, 1, 1].
    With axes in `mirror` (1 = height, 2 = width) they are means over the image and its
    mirror images along each of these axes and along all: 2 passes for one axis, 4 for
    two. Of `also`, (outputs of the model, batch) -> arrays [b, ...], what it gives for
    the image itself comes back beside the probabilities.
    Test-time augmentation as in nnU-Net (Isensee et al., 2021,
    https://www.nature.com/articles/s41592-020-01008-z), which averages logits.
    """
    image = normalise(types.unit_interval(batch["image"]))

    def answer(image):
        return read(model.apply(variables, image, train=False))

    def read(outputs):
        logits = outputs["logits"].astype(jnp.float32)
        maps = target.maps(logits) if target else jax.nn.softmax(logits, axis=-1)
        if "image_logits" not in outputs:
            return maps, None
        z = outputs["image_logits"].astype(jnp.float32)
        several = exclusive and z.shape[-1] > 1
        return maps, jax.nn.softmax(z, axis=-1) if several else jax.nn.sigmoid(z)

    def back(maps, axes):
        if target is None:
            return jnp.flip(maps, axes)
        return functools.reduce(target.mirror, axes, maps)

    outputs = model.apply(variables, image, train=False)
    mean, whole = read(outputs)

    def beside(probability):
        return probability if also is None else (probability, also(outputs, batch))

    if not pixels:
        mean = mean[:, :1, :1]
    if not mirror:
        return beside(_behind(mean, whole))
    sizes = range(1, len(mirror) + 1)
    every = [axes for n in sizes for axes in itertools.combinations(mirror, n)]
    for axes in every:
        maps, more = answer(jnp.flip(image, axes))
        maps = back(maps, axes)
        mean = mean + (maps if pixels else maps[:, :1, :1])
        whole = whole if more is None else whole + more
    passes = 1 + len(every)
    return beside(_behind(mean / passes, None if whole is None else whole / passes))


def _behind(
    maps: Float[Array, "b h w m"], whole: Float[Array, "b n"] | None
) -> Float[Array, "b h w _"]:
    """The maps, and behind them a channel for each number of the whole image."""
    if whole is None:
        return maps
    shape = (*maps.shape[:3], whole.shape[-1])
    return jnp.concatenate(
        [maps, jnp.broadcast_to(whole[:, None, None], shape)], axis=-1
    )


def image_logits(model: Any, variables: Any, shape: tuple[int, int, int]) -> int:
    """How many numbers the model says of a whole image [h, w, c]; 0 without a head.

    `variables` may be shapes alone; nothing is computed.
    """
    image = jax.ShapeDtypeStruct((1, *shape), np.float32)
    apply = functools.partial(model.apply, train=False)
    outputs = jax.eval_shape(apply, variables, image)
    return outputs["image_logits"].shape[-1] if "image_logits" in outputs else 0


def image_score(
    channels: Float[np.ndarray, "h w n"], *, exclusive: bool = False
) -> Float[np.ndarray, "n"]:
    """The highest of each channel behind the maps, f32: that of the surest tile.

    Tiles may disagree on the whole image that they are part of, and one that shows
    something is enough. Of several channels that are `exclusive` it is the mean over
    the image: one of them is right of all of it, and their sum stays 1.
    """
    channels = np.asarray(channels, np.float32)
    if exclusive and channels.shape[-1] > 1:  # f64: a constant keeps every bit
        return channels.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
    return channels.max(axis=(0, 1))


def make_predict(
    mesh: Mesh,
    *,
    model: Any,
    normalise: Normalise,
    mirror: Sequence[int] = (),
    target: Target | None = None,
    exclusive: bool = False,
    pixels: bool = True,
    also: Callable | None = None,
) -> Callable:
    """Compiles `predict(variables, batch)` for the mesh.

    Every device runs one and the same program on a block of the same size, whatever
    the number of devices: that is what makes the counts equal bit for bit.
    """
    rows = P(("data", "fsdp"))
    settings = {"model": model, "normalise": normalise, "mirror": mirror}
    settings |= {"exclusive": exclusive, "pixels": pixels, "also": also}
    fn = functools.partial(predict, target=target, **settings)
    return jax.jit(
        jax.shard_map(
            fn, mesh=mesh, in_specs=(P(), rows), out_specs=rows, check_vma=False
        ),
        compiler_options=compiler.options(),
    )
