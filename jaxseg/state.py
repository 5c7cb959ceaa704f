"""The state of training, born in its shards."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from jaxseg import sharding
from jaxseg.types import TrainState


def init(
    key: jax.Array,
    *,
    model: nn.Module,
    tx: optax.GradientTransformation,
    image_shape: tuple[int, int, int],
    ema: bool,
) -> TrainState:
    """A state at step 0; pure, so that `jax.eval_shape` gives its shapes."""
    variables = model.init(key, jnp.zeros((1, *image_shape)), train=False)
    params = variables["params"]
    zero = jnp.zeros((), jnp.int32)
    return TrainState(
        step=zero,
        params=params,
        model_state={k: v for k, v in variables.items() if k != "params"},
        opt_state=tx.init(params),
        ema_params=jax.tree.map(jnp.copy, params) if ema else None,
        bad_run=zero,
        bad_total=zero,
    )


def create(seed: int, mesh: Mesh, **kwargs) -> tuple[TrainState, TrainState]:
    """(state, its shapes with shardings); `kwargs` are those of `init`."""
    make = functools.partial(init, **kwargs)
    key = jax.random.key(seed)
    shapes = jax.eval_shape(make, key)
    shardings = sharding.state_sharding(shapes, mesh)
    state = jax.jit(make, out_shardings=shardings)(key)
    return state, abstract(shapes, shardings)


def abstract(shapes, shardings):
    """Shapes and shardings in one tree, as a restore needs them."""
    return jax.tree.map(
        lambda s, h: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=h),
        shapes,
        shardings,
    )


def count(params) -> int:
    """The number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def evaluated(state: TrainState) -> dict:
    """The variables to evaluate with: the average of parameters where one is kept."""
    params = state.params if state.ema_params is None else state.ema_params
    return {"params": params, **state.model_state}
