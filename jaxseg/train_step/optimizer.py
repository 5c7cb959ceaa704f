"""Builds AdamW with warm-up and cosine; weights decay, biases and norms do not."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import optax

from jaxseg.errors import ConfigError

_NO_DECAY = ("bias", "scale", "bias_table")


def learning_rate_schedule(
    *, learning_rate: float, warmup_steps: int, total_steps: int, final_scale: float
) -> optax.Schedule:
    """Step -> learning rate: a linear rise, then half a cosine down."""
    if learning_rate <= 0:
        raise ConfigError(
            f"config.optim.learning_rate is {learning_rate}; it must be above 0."
        )
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0 if warmup_steps else learning_rate,
        peak_value=learning_rate,
        warmup_steps=warmup_steps,
        decay_steps=max(total_steps, warmup_steps + 1),
        end_value=learning_rate * final_scale,
    )


def make(
    schedule: optax.Schedule,
    *,
    weight_decay: float,
    clip_norm: float,
    groups: Callable[[Any], Any] | None = None,
    frozen_until: int = 0,
) -> optax.GradientTransformation:
    """AdamW (Loshchilov and Hutter, 2019, https://arxiv.org/abs/1711.05101).

    `groups` gives, for parameters, the trees `scales` (times the learning rate, and
    with it the decay) and `frozen`, as `parameter_groups.groups` does. What is frozen
    counts in no norm and has no moments; it learns after `frozen_until` steps, 0 =
    never.
    """
    adamw = functools.partial(optax.adamw, weight_decay=weight_decay, mask=decayed)
    clip = [optax.clip_by_global_norm(clip_norm)] if clip_norm else []
    if groups is None:
        return optax.chain(*clip, adamw(schedule)) if clip else adamw(schedule)
    # its own Adam from the start, because the correction of Adam's bias counts steps
    frozen = optax.set_to_zero()
    blind = optax.masked(optax.set_to_zero(), lambda tree: groups(tree).frozen)
    if frozen_until:
        late = adamw(lambda count: schedule(count + frozen_until))
        frozen = optax.conditionally_mask(late, lambda step: step >= frozen_until)
        blind = optax.conditionally_transform(blind, lambda step: step < frozen_until)

    def labels(tree):
        name = {False: "learns", True: "frozen"}
        return jax.tree.map(name.__getitem__, groups(tree).frozen)

    def scaled(updates, params):
        return jax.tree.map(lambda x, by: x * by, updates, groups(params).scales)

    split = optax.partition({"learns": adamw(schedule), "frozen": frozen}, labels)
    return optax.chain(blind, *clip, split, optax.stateless(scaled))


def gradient_means(opt_state: Any) -> dict[str, jax.Array]:
    """{path: Adam's mean of the gradients}: 0 where no gradient ever came.

    Parameters that are frozen for ever have none and are left out.
    """

    def is_adam(node) -> bool:
        return isinstance(node, optax.ScaleByAdamState)

    means = {}
    for node in jax.tree.leaves(opt_state, is_leaf=is_adam):
        if is_adam(node):
            leaves, _ = jax.tree_util.tree_flatten_with_path(node.mu)
            means |= {"/".join(k.key for k in path): leaf for path, leaf in leaves}
    return means


def decayed(params: Any) -> Any:
    """A tree of bool: True where weight decay applies."""

    def one(path, leaf) -> bool:
        return leaf.ndim > 1 and path[-1].key not in _NO_DECAY

    return jax.tree_util.tree_map_with_path(one, params)
