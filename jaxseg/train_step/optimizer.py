"""Builds the optimizer, and the rate that rises and falls; only weights decay.

Biases, norms and position tables do not decay, under any optimizer (PyTorch's SGD,
and with it nnU-Net's, would decay them too).
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxseg import lookup
from jaxseg.errors import ConfigError

NAMES = ("adamw", "adam", "sgd", "lion")  # and every other of optax
SHAPES = ("cosine", "poly", "constant", "plateau")
_SMALL = 4096  # elements of a tensor whose norm is not computed alone
_NO_DECAY = ("bias", "scale", "bias_table")


def learning_rate_schedule(
    *,
    learning_rate: float,
    warmup_steps: int,
    total_steps: int,
    final_scale: float,
    shape: str = "cosine",
    power: float = 0.9,
) -> optax.Schedule:
    """Step -> learning rate: a linear rise, then down to `final_scale` of it.

    `shape` "cosine" is half a cosine (Loshchilov and Hutter, 2017,
    https://arxiv.org/abs/1608.03983); "poly" is (1 - t / T)^power over the T steps
    after the warm-up, nnU-Net's with `power` 0.9 (Isensee et al., 2021,
    https://doi.org/10.1038/s41592-020-01008-z), which steps down once an epoch.
    "constant" stays after the warm-up, and so does "plateau", which the state lowers
    (plateau.py).
    Raises ConfigError for another shape, and for a rate or power that is not above 0.
    """
    for name, value in {"learning_rate": learning_rate, "power": power}.items():
        if value <= 0:
            raise ConfigError(f"config.optim.{name} is {value}; it must be above 0.")
    if shape not in SHAPES:
        raise ConfigError(
            f"config.optim.schedule is {shape!r}; choose one of {[*SHAPES]}."
        )
    end, last = learning_rate * final_scale, max(total_steps, warmup_steps + 1)
    if shape in ("plateau", "constant"):
        after = optax.constant_schedule(learning_rate)
    elif shape == "poly":
        steps = last - warmup_steps
        after = optax.polynomial_schedule(learning_rate, end, power, steps)
    else:
        after = optax.cosine_decay_schedule(
            learning_rate, last - warmup_steps, alpha=final_scale
        )
    if not warmup_steps:  # optax warns of a rise over no steps
        return after
    rise = optax.linear_schedule(0.0, learning_rate, warmup_steps)
    return optax.join_schedules([rise, after], [warmup_steps])


def make(
    schedule: optax.Schedule,
    *,
    weight_decay: float,
    clip_norm: float,
    clip_each: bool = False,
    name: str = "adamw",
    momentum: float = 0.99,
    fields: Mapping[str, Any] | None = None,
    groups: Callable[[Any], Any] | None = None,
    frozen_until: int = 0,
    slowed: bool = False,
) -> optax.GradientTransformation:
    """AdamW (Loshchilov and Hutter, 2019, https://arxiv.org/abs/1711.05101), or others.

    "sgd" has Nesterov `momentum` as PyTorch's: with g the clipped gradient plus
    `weight_decay` times the weight (L2, so the decay goes through the momentum and is
    not that of AdamW), v <- momentum v + g and w <- w - rate (g + momentum v).

    Any other name is a function of optax that takes a learning rate: "adam", which does
    not decay, "lion" (Chen et al., 2023, https://arxiv.org/abs/2302.06675), "lamb" ...
    `fields` are further arguments of it, as {"b2": 0.95}; of sgd {"nesterov": False}.

    Gradients are clipped at the norm `clip_norm` of all of them together; with
    `clip_each` each tensor at that norm of its own, as `clipnorm` of Keras does.

    `groups` gives, for parameters, the trees `scales` (times the learning rate, and
    with it the decay) and `frozen`, as `parameter_groups.groups` does. What is frozen
    counts in no norm and has no moments; it learns after `frozen_until` steps, 0 =
    never. With `slowed` the state holds a factor of the rate, which `with_factor` sets.
    Raises ConfigError for another `name`, for `fields` that it does not take, and for a
    momentum that is not in [0, 1).
    """
    if not 0 <= momentum < 1:
        raise ConfigError(f"config.optim.momentum is {momentum}; it must be in [0, 1).")
    last = [_factor()] if slowed else []
    one = _factory(name, weight_decay, momentum, fields or {})
    clips = _clip_each if clip_each else _clip_all
    clip = [clips(clip_norm)] if clip_norm else []
    if groups is None:
        every = [*clip, one(schedule), *last]
        return optax.chain(*every) if len(every) > 1 else one(schedule)
    # its own optimizer from the start, because the correction of Adam's bias counts
    # steps
    frozen = optax.set_to_zero()
    blind = optax.masked(optax.set_to_zero(), lambda tree: groups(tree).frozen)
    if frozen_until:
        late = one(lambda count: schedule(count + frozen_until))
        frozen = optax.conditionally_mask(late, lambda step: step >= frozen_until)
        blind = optax.conditionally_transform(blind, lambda step: step < frozen_until)

    def labels(tree):
        name = {False: "learns", True: "frozen"}
        return jax.tree.map(name.__getitem__, groups(tree).frozen)

    def scaled(updates, params):
        return jax.tree.map(lambda x, by: x * by, updates, groups(params).scales)

    split = optax.partition({"learns": one(schedule), "frozen": frozen}, labels)
    return optax.chain(blind, *clip, split, optax.stateless(scaled), *last)


def _factory(
    name: str, weight_decay: float, momentum: float, fields: Mapping[str, Any]
) -> Callable[[optax.Schedule], optax.GradientTransformation]:
    """Schedule -> optimizer, with its arguments; tried once on a number."""
    function = _sgd if name == "sgd" else _at(name)
    if "learning_rate" not in _arguments(function):
        listed = [n for n in dir(optax) if "learning_rate" in _arguments(_at(n))]
        hint = lookup.hint(name, sorted({*NAMES, *listed}))
        raise ConfigError(f"config.optim.name is {name!r}: {hint}")
    own = {"weight_decay": weight_decay, "mask": decayed, "momentum": momentum}
    if name != "sgd":
        del own["momentum"]
    taken = {k: v for k, v in own.items() if k in _arguments(function)}
    one = functools.partial(function, **{**taken, **fields})
    watched = name in ("adamw", "adam", "sgd", "lion")
    try:
        tx, zero = one(lambda count: 1e-3), {"x": jnp.zeros((2, 2))}
        jax.eval_shape(lambda p: tx.update(p, tx.init(p), p), zero)
    except Exception as error:
        why = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"config.optim.name is {name!r} with config.optim.fields={dict(fields)}, "
            "which does not work here: it does not take these fields, or needs more "
            f"than gradients to learn ({why})"
        ) from error
    if watched:
        return one
    return lambda schedule: optax.chain(_watch(), one(schedule))


def _at(name: str) -> Any:
    """The function that optax has by a name, but for parts of optimizers; or None."""
    value = getattr(optax, name, None)
    if name.startswith(("_", "scale_by_")):
        return None
    plain = inspect.isfunction(value) or isinstance(value, functools.partial)
    return value if plain else None


def _arguments(function: Any) -> list[str]:
    if function is None:
        return []
    return [*inspect.signature(function).parameters]


class Factor(NamedTuple):
    """What the updates are multiplied by: a factor of the learning rate."""

    value: Any  # f32 []


def _factor() -> optax.GradientTransformation:
    def update(updates, state, params=None):
        del params
        return jax.tree.map(lambda x: x * state.value, updates), state

    start = Factor(jnp.ones(()))
    return optax.GradientTransformation(lambda params: start, update)


def with_factor(opt_state: Any, value: float) -> Any:
    """The same state of an optimizer that is `slowed`, with this factor of the rate."""

    def replaced(node):
        if not isinstance(node, Factor):
            return node
        return Factor(jax.device_put(jnp.float32(value), node.value.sharding))

    def is_factor(node):
        return isinstance(node, Factor)

    return jax.tree.map(replaced, opt_state, is_leaf=is_factor)


def global_norm(tree: Any) -> jax.Array:
    """The norm of all tensors of a tree together, f32 [].

    Small ones are joined first: XLA compiles programs for each sum, and most tensors
    of a network are biases.
    """
    leaves = jax.tree.leaves(tree)
    small = [x.ravel() for x in leaves if x.size <= _SMALL]
    large = [x for x in leaves if x.size > _SMALL]
    joined = [jnp.concatenate(small)] if small else []
    return optax.tree.norm(joined + large)


def _clip_all(norm: float) -> optax.GradientTransformation:
    """As `optax.clip_by_global_norm`, with one division for all tensors together.

    A division of each element would be written down before it is used, in one more
    program a tensor.
    """

    def clip(grads, params=None):
        del params
        total = global_norm(grads)
        factor = jnp.where(total < norm, 1.0, norm / total)
        return jax.tree.map(lambda g: g * factor.astype(g.dtype), grads)

    return optax.stateless(clip)


def _clip_each(norm: float) -> optax.GradientTransformation:
    def clip(grads, params=None):
        del params

        def one(g):
            return g * jnp.minimum(1.0, norm / jnp.maximum(jnp.linalg.norm(g), 1e-38))

        return jax.tree.map(one, grads)

    return optax.stateless(clip)


class _Seen(NamedTuple):
    """Of optimizers whose state says nothing of gradients: SGD's trace has decay."""

    gradient: Any  # tree of bool []: whether any gradient that is not 0 came


def _watch() -> optax.GradientTransformation:
    """Changes nothing, and notes which parameters ever had a gradient."""

    def start(params):
        return _Seen(jax.tree.map(lambda _: jnp.zeros((), bool), params))

    def watch(grads, state, params=None):
        del params
        seen = jax.tree.map(lambda g, s: s | jnp.any(g != 0), grads, state.gradient)
        return grads, _Seen(seen)

    return optax.GradientTransformation(start, watch)


def _sgd(
    learning_rate: optax.Schedule,
    *,
    weight_decay: float,
    momentum: float,
    nesterov: bool = True,
) -> optax.GradientTransformation:
    return optax.chain(
        _watch(),
        optax.add_decayed_weights(weight_decay, mask=decayed),
        optax.trace(momentum, nesterov=nesterov),
        optax.scale_by_learning_rate(learning_rate),
    )


def gradient_means(opt_state: Any) -> dict[str, jax.Array]:
    """{path: Adam's mean of the gradients}: 0 where no gradient ever came.

    Of SGD and others of optax it is whether any came. Parameters that are frozen for
    ever have none and are left out.
    """

    def watches(node) -> bool:
        of_means = (optax.ScaleByAdamState, optax.ScaleByLionState)
        return isinstance(node, (*of_means, _Seen))

    means = {}
    for node in jax.tree.leaves(opt_state, is_leaf=watches):
        if watches(node):
            tree = node.gradient if isinstance(node, _Seen) else node.mu
            leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
            means |= {"/".join(k.key for k in path): leaf for path, leaf in leaves}
    return means


def decayed(params: Any) -> Any:
    """A tree of bool: True where weight decay applies."""

    def one(path, leaf) -> bool:
        return leaf.ndim > 1 and path[-1].key not in _NO_DECAY

    return jax.tree_util.tree_map_with_path(one, params)
