"""Takes one step of training: a pure function of state, batch and settings."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxseg import schedule, types
from jaxseg.data import mixing
from jaxseg.devices import compiler
from jaxseg.errors import ConfigError
from jaxseg.train_step import deep_supervision, optimizer
from jaxseg.types import IGNORE, Batch, Normalise, Target, TrainState

Loss = Callable[..., jax.Array]  # arguments by name, f32 [b] back: see `asks_for`
_MIX = 2**20  # of the random numbers of mixing, beside those of the examples
INPUTS = ("logits", "mask", "label", "image", "image_logits", "teacher", "instances")
INPUTS += ("image_classes",)
INPUTS += ("distance", "true_distance", "object_logits", "rays", "true_rays")
INPUTS += ("coarse_logits", "region_logits", "true_regions")


# what of these is of whole images; all else is of pixels
OF_IMAGES = ("label", "image", "image_logits", "image_classes")


class Settings(NamedTuple):
    """What a step of training is made of besides its state and batch."""

    seed: Any  # of augmentation and dropout; an integer, or traced
    model: Any  # a Linen module, with what is frozen held still
    losses: Mapping[str, tuple[Loss, schedule.Schedule]]  # name: (term, weight)
    aux_weight: float  # of the auxiliary head in the loss
    tx: optax.GradientTransformation
    # (image, mask, key, **augment_options) -> (image, mask), and with instances=
    # object ids, these third
    augment: Callable
    augment_options: Mapping[str, Any]
    normalise: Normalise
    total_steps: int
    accumulate: int  # micro-batches a step
    ema: float  # decay of the average of parameters; 0 = none
    classes: int = 2  # background included
    deep_weights: tuple[float, ...] = ()  # of deep supervision: see there
    target: Target | None = None  # None: the logits of the classes, from the mask
    mix: Mapping[str, Any] = {}  # settings of `mixing.mix`
    steps_per_epoch: int = 1  # of schedules that go by epochs


def train_step(
    state: TrainState, batch: Batch, settings: Settings
) -> tuple[TrainState, dict[str, jax.Array]]:
    """The next state, and numbers about this step: losses, gradient norm, positives.

    A step whose loss or gradient is not finite changes nothing but the counters. The
    random numbers follow from (seed, step), so a restart repeats them.
    """
    key = jax.random.fold_in(jax.random.key(settings.seed), state.step)
    progress = state.step / max(1, settings.total_steps - 1)
    epoch = state.step // settings.steps_per_epoch  # of whole numbers: exact
    epochs = -(-settings.total_steps // settings.steps_per_epoch)
    weights = {
        name: schedule.at(w, progress, epoch=epoch, epochs=epochs, xp=jnp)
        for name, (_, w) in settings.losses.items()
    }
    objective = functools.partial(
        _objective,
        settings=settings,
        weights=weights,
        teacher=state.ema_params,  # None only where no loss asks for it
    )
    # the true number of examples, so that micro-batches add up to the batch's mean
    total = jnp.maximum(jnp.sum(batch["weight"]), 1)
    grads, model_state, numbers = _gradients(
        objective, state, batch, key, total, settings.accumulate
    )
    norm = optimizer.global_norm(grads)
    fine = jnp.isfinite(numbers["loss"]) & jnp.isfinite(norm)
    updates, opt_state = settings.tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    average = state.ema_params
    if average is not None:
        decay = _decay(settings.ema, state.step)
        average = optax.incremental_update(params, average, 1 - decay)
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
    return state, numbers | _fed(batch, settings.classes)


def compile_step(settings: Settings, abstract: TrainState) -> Callable:
    """`train_step` as one program that reuses the memory of the state it is given.

    (state, batch) -> (state, numbers); `abstract` holds the shardings of the state.
    """
    shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    return jax.jit(
        functools.partial(train_step, settings=settings),
        donate_argnums=0,
        out_shardings=(shardings, None),
        compiler_options=compiler.options(),
    )


def _decay(ema: float, done: jax.Array) -> jax.Array:
    """The decay of the average of parameters in the step after `done` steps.

    It grows from 0.1 to `ema`, so that a short training does not end on an average of
    random weights (TensorFlow, tf.train.ExponentialMovingAverage with `num_updates`,
    https://www.tensorflow.org/api_docs/python/tf/train/ExponentialMovingAverage).
    """
    return jnp.minimum(ema, (1 + done) / (10 + done))


def _fed(batch: Batch, classes: int) -> dict[str, jax.Array]:
    """What this step was really given: examples, and positives among them.

    Above two classes also how many examples show each, as "shows/<class id>"; with
    classes of whole images how many are of each, as "shows_image/<number>".
    """
    mask = batch["mask"]
    labelled = (mask > 0) & (mask != IGNORE)
    positive = jnp.any(labelled, axis=(1, 2)) | (batch["label"] > 0)
    shows = {
        f"shows/{c}": jnp.any(mask == c, axis=(1, 2))
        for c in range(1, classes if classes > 2 else 0)
    }
    of_image = batch.get("image_classes", jnp.zeros((len(mask), 0)))
    for m in range(of_image.shape[1]):
        shows[f"shows_image/{m}"] = of_image[:, m] == 1
    return {
        "examples": jnp.sum(batch["weight"]),
        "positives": jnp.sum(batch["weight"] * positive),
        **{name: jnp.sum(batch["weight"] * yes) for name, yes in shows.items()},
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
    settings: Settings,
    weights,
    teacher,
):
    """(loss, (model state, numbers)): the sum over examples, divided by `total`."""
    image = types.unit_interval(batch["image"])
    augment_key, dropout_key = jax.random.split(key)
    # slot[0] differs between micro-batches, so their random numbers do too
    augment_key = jax.random.fold_in(augment_key, slot[0])
    dropout_key = jax.random.fold_in(dropout_key, slot[0])
    ids = {"instances": batch["instances"]} if "instances" in batch else {}
    image, mask, *ids = settings.augment(
        image, batch["mask"], augment_key, **ids, **settings.augment_options
    )
    image, mask, partner, share = mixing.mix(
        image, mask, jax.random.fold_in(augment_key, _MIX), **settings.mix
    )
    model, normalise = settings.model, settings.normalise
    outputs, model_state = model.apply(
        {"params": params, **model_state},
        normalise(image),
        train=True,
        rngs={"dropout": dropout_key},
        mutable=list(model_state),
    )

    def mean(name, values):
        if jnp.shape(values) != batch["weight"].shape:
            raise ConfigError(
                f"loss.{name} returned an array {jnp.shape(values)}; a loss returns "
                f"one number an image, here {batch['weight'].shape}."
            )
        return jnp.sum(values * batch["weight"]) / total

    # tones may leave [0, 1], which the losses are promised
    shown = jnp.clip(image, 0, 1)
    inputs = {"image": shown, "label": batch["label"], "mask": mask}
    inputs |= {"instances": ids[0]} if ids else {}
    if "image_classes" in batch:
        inputs["image_classes"] = batch["image_classes"]
    for name in ("image_logits", "coarse_logits"):
        inputs |= {name: outputs[name]} if name in outputs else {}
    numbers = {}
    if trains_pixels(fn for fn, _ in settings.losses.values()):
        numbers = _agreement(_classes(outputs["logits"], settings), mask)
    outputs, truth = split_outputs(outputs, mask, inputs.get("instances"), settings)
    inputs, mask = inputs | truth, truth.get("mask", mask)
    terms = {name: (fn, asks_for(fn)) for name, (fn, _) in settings.losses.items()}
    if any("teacher" in names for _, names in terms.values()):
        variables = {"params": teacher, **model_state}
        logits = model.apply(variables, normalise(image), train=False)["logits"]
        logits = _parts(logits, settings)["logits"]
        inputs["teacher"] = jax.lax.stop_gradient(jax.nn.softmax(logits))

    loss = jnp.zeros(())
    for head in heads(outputs, mask, partner, settings):
        inputs |= {"logits": head.logits, "mask": head.mask}
        for name, (fn, names) in terms.items():
            scale = head.scale(names)
            if scale is None:
                continue
            arguments = {argument: inputs[argument] for argument in names}
            value = mean(name, fn(**arguments))
            if head.partner is not None and "mask" in names:
                other = mean(name, fn(**arguments | {"mask": head.partner}))
                value = share * value + (1 - share) * other
            numbers[f"loss/{head.prefix}{name}"] = value
            loss = loss + scale * weights[name] * value
    return loss, (model_state, {"loss": loss, **numbers})


def _parts(logits, settings: Settings) -> dict[str, jax.Array]:
    """What losses see of the channels of a head, the logits of classes among it."""
    return settings.target.split(logits) if settings.target else {"logits": logits}


def _classes(logits, settings: Settings) -> jax.Array:
    """What is largest at the class of the data that a head predicts."""
    if settings.target is None:
        return logits
    return settings.target.maps(logits)[..., : settings.classes]


def split_outputs(outputs, mask, instances, settings: Settings):
    """(outputs whose heads hold what losses see, what is true of them).

    Of coarser heads only the logits of classes are learnt.
    """
    if settings.target is None:
        return outputs, {}
    parts = _parts(outputs["logits"], settings)
    levels = {
        k: _parts(outputs[k], settings)["logits"] for k in ("aux",) if k in outputs
    }
    if "deep" in outputs:
        deep = outputs["deep"]
        levels["deep"] = [_parts(level, settings)["logits"] for level in deep]
    truth = settings.target.truth(mask, instances)
    learnt = {name: value for name, value in parts.items() if name != "logits"}
    return outputs | levels | {"logits": parts["logits"]}, truth | learnt


class _Head(NamedTuple):
    """Logits that terms of the loss are computed of, and the mask of their size."""

    prefix: str  # in the names of the losses
    logits: jax.Array
    mask: jax.Array
    partner: jax.Array | None  # the other mask of a blended image, of the same size
    scale: Callable  # what a term asks for -> times its weight, None = not computed


def heads(outputs, mask, partner, settings: Settings) -> list[_Head]:
    """The logits, then those of the auxiliary head and of deep supervision.

    A term of the whole image has one head. A term that needs more than logits, mask and
    label is not computed at coarser levels, and counts whole at the finest.
    """
    deep, finest = outputs.get("deep", []), 1.0
    if deep:
        finest, *coarse = deep_supervision.weights(settings.deep_weights, 1 + len(deep))

    def main(names):
        return finest if deep_supervision.applies(names) else 1.0

    def aux(names):
        return settings.aux_weight if "logits" in names else None

    def level(weight, names):
        return weight if deep_supervision.applies(names) else None

    every = [_Head("", outputs["logits"], mask, partner, main)]
    if "aux" in outputs:
        every.append(_Head("aux_", outputs["aux"], mask, partner, aux))
    for i, logits in enumerate(deep):
        masks = [
            None if m is None else deep_supervision.coarser(m, logits.shape[1:3])
            for m in (mask, partner)
        ]
        scale = functools.partial(level, coarse[i])
        every.append(_Head(f"deep{i + 1}_", logits, *masks, scale))
    return every


def trains_pixels(losses: Iterable[Loss]) -> bool:
    """Whether one of the losses learns from pixels.

    Not where classes of whole images are all that is learned. Losses of whether there
    is foreground count as of pixels, of which the head may be made.
    """
    asked = [{*asks_for(loss)} for loss in losses]
    of_classes = any("image_classes" in names for names in asked)
    return not of_classes or any(names - {*OF_IMAGES} for names in asked)


def asks_for(loss: Loss) -> tuple[str, ...]:
    """What a loss needs, by the names of its arguments.

    "logits" are those of a head, f32 [b, h, w, k]; "mask" i32 [b, h, w] is augmented as
    the image is; "image" is the augmented image, f32 [b, h, w, c] in [0, 1]; "label" is
    what the whole image shows, i32 [b], -1 = unknown; "image_logits" f32 [b, n] come
    from the head of whole images; "coarse_logits" are those that a model computes at
    1/8 of the size, f32 [b, y, x, k]; "teacher" are the probabilities, f32
    [b, h, w, k], of the average of the parameters (mean teacher); "instances" i32
    [b, h, w] are the ids of objects, 0 = none, augmented as the mask is;
    "image_classes" i8 [b, m] are 1 where the image shows this class of whole images, 0
    where not, -1 where that is unknown. The rest is
    what a target (jaxseg/targets/) learns beside the classes, and what is true of it:
    "distance" and "true_distance", "object_logits", "rays" and "true_rays",
    "region_logits" and "true_regions".
    """
    arguments = inspect.signature(loss).parameters
    return tuple(name for name in INPUTS if name in arguments)


def _agreement(logits, mask) -> dict[str, jax.Array]:
    """Exact counts of pixels right, invented and missed, for two classes."""
    if logits.shape[-1] != 2:
        return {}
    predicted = logits[..., 1] > logits[..., 0]
    truth, labelled = mask == 1, mask != IGNORE
    sums = {
        "tp": predicted & truth,
        "fp": predicted & ~truth & labelled,
        "fn": ~predicted & truth,
    }
    return {f"count/{k}": jnp.sum(v, dtype=jnp.int32) for k, v in sums.items()}
