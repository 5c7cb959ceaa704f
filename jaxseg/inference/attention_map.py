"""Maps where a head of whole images looks for each of its classes: Grad-CAM.

Selvaraju et al., 2017, https://arxiv.org/abs/1610.02391: the deepest map of the model,
weighed by channel with the mean gradient of the logit of a class, negative values cut.
With the head `pooled` by average these are the class activation maps of Zhou et al.,
2016, https://arxiv.org/abs/1512.04150, but for a positive factor.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from jaxseg import types
from jaxseg.devices import compiler
from jaxseg.errors import ConfigError
from jaxseg.models import _decided
from jaxseg.types import Batch, Normalise


def check(model: Any) -> None:
    """Raises ConfigError for a model whose output for images is no head of ours."""
    if not isinstance(model, _decided.Decided):
        raise ConfigError(
            "maps of where a classifier looks (config.eval.localise) are of the head "
            "that config.decision names, and there is none: set config.decision.name, "
            "for example to 'pooled', or config.eval.localise.mask_class=''."
        )


def of_features(
    head: Any,
    variables: Any,
    features: Float[Array, "b y x c"],
    logits: Float[Array, "b h w k"],
) -> Float[Array, "b y x n"]:
    """The map of each of the n logits of a head, at the size of the features.

    `variables` are those of the head. What the head reads of `logits` is held constant.
    Multipliers of its gradient, which protect the model in training, are 1 here.
    """
    fields = {field.name for field in dataclasses.fields(head)}
    free = {name: 1.0 for name in fields if name.endswith("_multiplier")}
    free_head = head.clone(**free)

    def answer(features):
        return free_head.apply(variables, features, logits, train=False)

    values, back = jax.vjp(answer, features)

    def of_class(index):
        one = jnp.zeros_like(values).at[:, index].set(1)
        (slope,) = back(one)
        weights = jnp.mean(slope.astype(jnp.float32), (1, 2), keepdims=True)
        return jax.nn.relu(jnp.sum(weights * features.astype(jnp.float32), -1))

    return jnp.stack([of_class(i) for i in range(values.shape[-1])], -1)


def predict(
    variables: Any, batch: Batch, *, model: _decided.Decided, normalise: Normalise
) -> Float[Array, "b h w n"]:
    """The map of each class of the head, f32, brought to the size of the image.

    Bilinear, with the edge value beyond the outermost centres. Values of different
    images and classes have no common scale. Raises ConfigError for a model without
    features.
    """
    image = normalise(types.unit_interval(batch["image"]))
    outputs = model.model.apply(variables, image, train=False)
    _decided.check(outputs)
    own = {
        kind: tree[_decided.MODULE]
        for kind, tree in variables.items()
        if _decided.MODULE in tree
    }
    logits = outputs.get("coarse_logits", outputs["logits"])
    maps = of_features(model.decision, own, outputs["features"], logits)
    shape = (*image.shape[:3], maps.shape[-1])
    return jax.image.resize(maps, shape, "linear")


def make_predict(mesh: Mesh, *, model: Any, normalise: Normalise) -> Callable:
    """Compiles `predict(variables, batch)` for the mesh, as `forward.make_predict`.

    Raises what `check` does.
    """
    check(model)
    rows = P(("data", "fsdp"))
    fn = functools.partial(predict, model=model, normalise=normalise)
    return jax.jit(
        jax.shard_map(
            fn, mesh=mesh, in_specs=(P(), rows), out_specs=rows, check_vma=False
        ),
        compiler_options=compiler.options(),
    )
