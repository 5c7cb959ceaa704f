"""AdamW with warm-up and cosine; weights decay, biases and norms do not."""

import jax
import optax

from jaxseg.errors import ConfigError

_NO_DECAY = ("bias", "scale", "relative_position_bias_table")


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
    schedule: optax.Schedule, *, weight_decay: float, clip_norm: float
) -> optax.GradientTransformation:
    """The optimiser (Loshchilov and Hutter, 2019, https://arxiv.org/abs/1711.05101)."""
    adamw = optax.adamw(schedule, weight_decay=weight_decay, mask=decayed)
    if not clip_norm:
        return adamw
    return optax.chain(optax.clip_by_global_norm(clip_norm), adamw)


def decayed(params):
    """A tree of bool: True where weight decay applies."""

    def one(path, leaf) -> bool:
        return leaf.ndim > 1 and path[-1].key not in _NO_DECAY

    return jax.tree_util.tree_map_with_path(one, params)
