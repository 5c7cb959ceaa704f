"""One step of training: a pure function of state, batch and settings."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxseg import schedule
from jaxseg.types import IGNORE, Batch, Normalise, TrainState

Loss = Callable[..., jax.Array]  # (logits, mask) and what `asks_for` names


def train_step(
    state: TrainState,
    batch: Batch,
    *,
    seed: int,
    model: Any,
    losses: Mapping[str, tuple[Loss, schedule.Schedule]],
    aux_weight: float,
    tx: optax.GradientTransformation,
    augment: Callable,
    normalise: Normalise,
    total_steps: int,
    accumulate: int,
    ema: float,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """The next state, and numbers about this step: losses, gradient norm, positives.

    A step whose loss or gradient is not finite changes nothing but the counters. The
    random numbers follow from (seed, step), so a restart repeats them.
    """
    key = jax.random.fold_in(jax.random.key(seed), state.step)
    weights = {
        name: schedule.at(w, state.step / max(1, total_steps - 1), xp=jnp)
        for name, (_, w) in losses.items()
    }
    objective = functools.partial(
        _objective,
        model=model,
        losses={name: fn for name, (fn, _) in losses.items()},
        weights=weights,
        aux_weight=aux_weight,
        augment=augment,
        normalise=normalise,
        teacher=state.ema_params,  # None only where no loss asks for it: `assemble`
    )
    # the true number of examples, so that micro-batches add up to the batch's mean
    total = jnp.maximum(jnp.sum(batch["weight"]), 1)
    grads, model_state, numbers = _gradients(
        objective, state, batch, key, total, accumulate
    )
    norm = optax.tree.norm(grads)
    fine = jnp.isfinite(numbers["loss"]) & jnp.isfinite(norm)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    average = state.ema_params
    if average is not None:
        average = optax.incremental_update(params, average, 1 - _decay(ema, state.step))
    new = (params, model_state, opt_state, average)
    old = (state.params, state.model_state, state.opt_state, state.ema_params)
    params, model_state, opt_state, average = jax.tree.map(
        functools.partial(jnp.where, fine), new, old
    )
    bad = 1 - fine.astype(jnp.int32)
    state = TrainState(
        step=state.step + 1,
        params=params,
        model_state=model_state,
        opt_state=opt_state,
        ema_params=average,
        bad_run=(state.bad_run + 1) * bad,
        bad_total=state.bad_total + bad,
    )
    numbers |= {"grad_norm": norm, "bad_run": state.bad_run, "bad": bad}
    return state, numbers | _fed(batch)


def _decay(ema: float, done: jax.Array) -> jax.Array:
    """The decay of the average of parameters in the step after `done` steps.

    It grows from 0.1 to `ema`, so that a short training does not end on an average of
    random weights (TensorFlow, tf.train.ExponentialMovingAverage with `num_updates`,
    https://www.tensorflow.org/api_docs/python/tf/train/ExponentialMovingAverage).
    """
    return jnp.minimum(ema, (1 + done) / (10 + done))


def _fed(batch: Batch) -> dict[str, jax.Array]:
    """What this step was really given: examples, and positives among them."""
    mask = batch["mask"]
    seen = jnp.any((mask > 0) & (mask != IGNORE), axis=(1, 2)) | (batch["label"] > 0)
    return {
        "examples": jnp.sum(batch["weight"]),
        "positives": jnp.sum(batch["weight"] * seen),
    }


def _gradients(objective, state, batch, key, total, accumulate):
    """(gradients, new model state, numbers) of the batch, in `accumulate` parts."""
    value_and_grad = jax.value_and_grad(objective, has_aux=True)
    slot = jnp.arange(batch["weight"].shape[0])
    if accumulate == 1:
        (_, (model_state, numbers)), grads = value_and_grad(
            state.params, state.model_state, batch, slot, key, total
        )
        return grads, model_state, numbers

    def split(x):  # part j takes every accumulate-th example: devices keep their own
        return jnp.swapaxes(x.reshape(-1, accumulate, *x.shape[1:]), 0, 1)

    def part(carry, inputs):
        model_state, grads, numbers = carry
        (_, (model_state, more)), more_grads = value_and_grad(
            state.params, model_state, *inputs, key, total
        )
        add = functools.partial(jax.tree.map, jnp.add)
        return (model_state, add(grads, more_grads), add(numbers, more)), None

    parts = jax.tree.map(split, (batch, slot))
    first = jax.tree.map(lambda x: x[0], parts)
    shapes = jax.eval_shape(
        value_and_grad, state.params, state.model_state, *first, key, total
    )
    zeros = functools.partial(jax.tree.map, lambda s: jnp.zeros(s.shape, s.dtype))
    start = (state.model_state, zeros(shapes[1]), zeros(shapes[0][1][1]))
    (model_state, grads, numbers), _ = jax.lax.scan(part, start, parts)
    return grads, model_state, numbers


def _objective(
    params,
    model_state,
    batch,
    slot,
    key,
    total,
    *,
    model,
    losses,
    weights,
    aux_weight,
    augment,
    normalise,
    teacher,
):
    """(loss, (model state, numbers)): the sum over examples, divided by `total`."""
    image = batch["image"].astype(jnp.float32) / 255
    augment_key, dropout_key = jax.random.split(key)
    # slot[0] differs between micro-batches, so their random numbers do too
    augment_key = jax.random.fold_in(augment_key, slot[0])
    dropout_key = jax.random.fold_in(dropout_key, slot[0])
    image, mask = augment(image, batch["mask"], augment_key)
    outputs, model_state = model.apply(
        {"params": params, **model_state},
        normalise(image),
        train=True,
        rngs={"dropout": dropout_key},
        mutable=list(model_state),
    )

    def mean(values):
        return jnp.sum(values * batch["weight"]) / total

    wanted = {name: asks_for(fn) for name, fn in losses.items()}
    given = {"image": image, "label": batch["label"]}
    if any("teacher" in names for names in wanted.values()):
        variables = {"params": teacher, **model_state}
        found = model.apply(variables, normalise(image), train=False)["logits"]
        given["teacher"] = jax.lax.stop_gradient(jax.nn.softmax(found))

    numbers = _agreement(outputs["logits"], mask)
    loss = jnp.zeros(())
    heads = [("", 1.0, outputs["logits"])]
    if "aux" in outputs:
        heads.append(("aux_", aux_weight, outputs["aux"]))
    for prefix, head_weight, logits in heads:
        for name, fn in losses.items():
            more = {argument: given[argument] for argument in wanted[name]}
            value = mean(fn(logits, mask, **more))
            numbers[f"loss/{prefix}{name}"] = value
            loss = loss + head_weight * weights[name] * value
    return loss, (model_state, {"loss": loss, **numbers})


def asks_for(loss: Loss) -> tuple[str, ...]:
    """What a loss takes beside logits and mask, by the names of its arguments.

    "image" is the augmented image, f32 [b, h, w, c] in [0, 1]; "label" what the whole
    image shows, i32 [b], -1 = unknown; "teacher" the probabilities, f32 [b, h, w, k],
    of the average of the parameters (mean teacher).
    """
    names = inspect.signature(loss).parameters
    return tuple(name for name in ("image", "label", "teacher") if name in names)


def _agreement(logits, mask) -> dict[str, jax.Array]:
    """Exact pixel counts of foreground found, invented and missed, for two classes."""
    if logits.shape[-1] != 2:
        return {}
    found = logits[..., 1] > logits[..., 0]
    truth, labelled = mask == 1, mask != IGNORE
    sums = {"tp": found & truth, "fp": found & ~truth & labelled, "fn": ~found & truth}
    return {f"count/{k}": jnp.sum(v, dtype=jnp.int32) for k, v in sums.items()}
