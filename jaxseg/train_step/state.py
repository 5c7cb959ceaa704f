"""Makes the state of training, with every array born in its shards."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from jaxseg.devices import sharding
from jaxseg.types import TrainState

# run once, on hundreds of small arrays: compiling well takes longer than running badly
COMPILE_FAST = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}


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


def _bound(**kwargs: Any) -> Callable[[jax.Array], TrainState]:
    """`init` of a key alone: for equal arguments one function, which is traced once."""
    try:
        return _bound_once(**kwargs)
    except TypeError:  # a model whose fields have no hash
        return functools.partial(init, **kwargs)


@functools.lru_cache(maxsize=2)
def _bound_once(**kwargs: Any) -> Callable[[jax.Array], TrainState]:
    return functools.partial(init, **kwargs)


def abstract(mesh: Mesh, **kwargs: Any) -> TrainState:
    """Shapes, dtypes and shardings of a state; `kwargs` are those of `init`."""
    shapes = jax.eval_shape(_bound(**kwargs), jax.random.key(0))
    return jax.tree.map(
        lambda s, h: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=h),
        shapes,
        sharding.state_sharding(shapes, mesh),
    )


def create(seed: int, shapes: TrainState, **kwargs: Any) -> TrainState:
    """A new state laid out as `shapes` (from `abstract`) says."""
    shardings = jax.tree.map(lambda s: s.sharding, shapes)
    make = jax.jit(
        _bound(**kwargs),
        out_shardings=shardings,
        compiler_options=COMPILE_FAST,
    )
    return make(jax.random.key(seed))


def count(params: Any) -> int:
    """The number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def evaluated(state: TrainState) -> dict:
    """The variables to evaluate with: the average of parameters where one is kept."""
    params = state.params if state.ema_params is None else state.ema_params
    return {"params": params, **state.model_state}
