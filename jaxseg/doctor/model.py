"""Checks losses, gradients and memory: the first real steps, and one batch alone."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg import types
from jaxseg.devices import sharding
from jaxseg.doctor import draw
from jaxseg.doctor.case import ERROR, OK, WARNING, Case, Finding, few
from jaxseg.experiment import build, decision, finetune, from_config
from jaxseg.inference import forward
from jaxseg.train_step import optimizer, parameter_groups, state, step
from jaxseg.types import IGNORE, TrainState

_CLEAR = 4.0  # the logit of a right answer
_FELL, _SOME = 0.5, 0.9  # of the loss at the start: learned, learned something
_DICE = 0.8  # of the batch it was trained on
_FULL = 0.9  # of the memory
# what terms ask for that must cost less when right, and know nothing else
_SIMPLE = ({"logits", "mask"}, {"logits"}, {"mask"}, {"image_logits", "image_classes"})


class Trained(NamedTuple):
    """What the first real steps showed."""

    steps: int
    losses: list[float]
    silent: list[str]  # parameters without any gradient in all of them
    memory: Any  # of the compiled step, or None


def example(experiment: build.Experiment) -> dict[str, np.ndarray]:
    """The first batch, of eight, that has most foreground: on the host."""
    batches = list(build.train_batches(experiment, steps=8))
    masks = [batch["mask"] for batch in batches]
    return batches[int(np.argmax([((m > 0) & (m != IGNORE)).sum() for m in masks]))]


def first_steps(config, experiment: build.Experiment) -> Trained:
    """Real steps until every parameter had a gradient, `WATCH` of them at most."""
    chosen = (finetune.groups(config) or parameter_groups.groups)(
        experiment.abstract.params
    )
    batches = build.train_batches(experiment, steps=parameter_groups.WATCH)
    first = sharding.put(next(batches), experiment.mesh)
    compiled = experiment.train_step.lower(experiment.abstract, first).compile()
    now = state.create(config.seed, experiment.abstract, **experiment.init)
    losses, silent = [], []
    for batch in (first, *(sharding.put(b, experiment.mesh) for b in batches)):
        now, numbers = compiled(now, batch)
        losses.append(float(numbers["loss"]))
        silent = parameter_groups.silent(
            optimizer.gradient_means(now.opt_state),
            decision.resting(chosen.frozen, experiment.settings),
        )
        if not silent or not math.isfinite(losses[-1]):
            break
    return Trained(len(losses), losses, silent, compiled.memory_analysis())


def loss_terms(case: Case) -> Finding:
    """Every term of the loss answers to the prediction."""
    terms = case.experiment.settings.losses
    batch = case.example()
    chance, right = _costs(
        case.experiment, {k: fn for k, (fn, _) in terms.items()}, batch
    )
    rows = [("", "by chance", "when right")]
    rows += [(n, f"{chance[n]:.3g}", f"{right[n]:.3g}") for n in terms]
    drawing, wrong = draw.table(rows), []
    for name, (fn, _) in terms.items():
        a, b = chance[name], right[name]
        if not (math.isfinite(a) and math.isfinite(b)):
            wrong.append(f"{name} is not finite")
        elif a == b:
            wrong.append(f"{name} is {a:.3g} whatever is predicted")
        elif b > a and set(step.asks_for(fn)) in _SIMPLE:
            wrong.append(f"{name} costs more when right")
    observed = f"{few(terms)} on {len(batch['mask'])} images"
    if wrong:
        return Finding(
            ERROR,
            "; ".join(wrong),
            "such a term teaches nothing, or the wrong thing",
            "look at its settings in config.loss and at the classes the batch holds",
            drawing,
        )
    return Finding(OK, observed, drawing=drawing)


def _costs(experiment, losses, batch) -> tuple[dict[str, float], dict[str, float]]:
    """The mean of each loss for a random prediction, and for a right one."""
    target = experiment.parts.target
    asked = {name for fn in losses.values() for name in step.asks_for(fn)}
    outputs = _image_outputs(experiment) if "image_logits" in asked else 0

    def run(image, mask, label, instances, shown):
        truth = target.truth(mask, instances)
        mask = truth.get("mask", mask)
        shape = (*mask.shape, target.channels)
        chance = target.split(jax.random.normal(jax.random.key(0), shape))
        classes = chance["logits"].shape[-1]
        right = {"logits": _CLEAR * jax.nn.one_hot(mask, classes), **_right(truth)}
        inputs = {"image": image, "teacher": jax.nn.softmax(chance["logits"], -1)}
        inputs |= {"label": label, "instances": instances, **truth, "mask": mask}
        inputs |= {"image_classes": shown}
        costs = []
        for parts in (chance, right):
            said = _whole_image(parts["logits"], outputs)
            if outputs > 1 and parts is right:
                said = _CLEAR * (2.0 * (shown == 1) - 1)
            inputs |= parts | {"image_logits": said}
            inputs |= {"coarse_logits": parts["logits"][:, ::8, ::8]}
            cost = {}
            for name, fn in losses.items():
                arguments = {a: inputs[a] for a in step.asks_for(fn)}
                cost[name] = jnp.mean(fn(**arguments))
            costs.append(cost)
        return costs

    image = types.unit_interval(batch["image"])
    more = batch.get("instances"), batch.get("image_classes")
    costs = jax.jit(run)(image, batch["mask"], batch["label"], *more)
    return tuple({k: float(v) for k, v in part.items()} for part in costs)


def _right(truth: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """What a network that is right predicts beside the classes."""
    depth = truth.get("true_distance", jnp.zeros(()))
    sure = jnp.clip(depth, 1e-3, 1 - 1e-3)
    out = {"distance": depth, "object_logits": jnp.log(sure) - jnp.log1p(-sure)}
    sides = 2 * truth.get("true_regions", jnp.zeros(())) - 1
    return out | {"rays": truth.get("true_rays"), "region_logits": _CLEAR * sides}


def _whole_image(logits: jax.Array, outputs: int) -> jax.Array:
    """Logits [b, n] of what an image holds: the highest of its pixels.

    They are the odds of foreground for one output, else chance for each class.
    """
    if outputs > 1:
        return jax.random.normal(jax.random.key(1), (len(logits), outputs))
    if outputs == 1:
        odds = jax.nn.logsumexp(logits[..., 1:], -1) - logits[..., 0]
        return jnp.max(odds, axis=(1, 2))[:, None]
    return jnp.max(logits, axis=(1, 2))


def _image_outputs(experiment: build.Experiment) -> int:
    """How many logits of a whole image the model returns, 0 without a head."""
    state, shape = experiment.abstract, experiment.parts.image_shape
    outputs = jax.eval_shape(
        functools.partial(experiment.parts.model.apply, train=False),
        {"params": state.params, **state.model_state},
        jax.ShapeDtypeStruct((1, *shape), np.float32),
    )
    return outputs["image_logits"].shape[1] if "image_logits" in outputs else 0


def gradients(case: Case) -> Finding:
    """Every parameter that should learn gets a gradient."""
    first = case.trained()
    total = len(parameter_groups.paths(case.experiment.abstract.params))
    observed = (
        f"{total} parameters, {first.steps} real step(s), loss {first.losses[-1]:.4g}"
    )
    if not math.isfinite(first.losses[-1]):
        return Finding(
            ERROR,
            observed,
            "a loss that is not a number stops training",
            "a smaller config.optim.learning_rate, float32, weights of the losses "
            "that are not huge",
        )
    if first.silent:
        return Finding(
            ERROR,
            f"{len(first.silent)} of {observed}, never a gradient: {few(first.silent)}",
            "the loss does not depend on them: they stay as they were drawn",
            "give the part a weight in the loss (config.aux_weight), switch it off, or "
            "name it in config.transfer.freeze",
        )
    return Finding(OK, f"{observed}, none without a gradient")


def memory(case: Case) -> Finding:
    """One step fits into the device."""
    needs = case.trained().memory
    if needs is None:
        return Finding(OK, "this device does not tell")
    need = needs.argument_size_in_bytes + needs.temp_size_in_bytes
    limit = (jax.devices()[0].memory_stats() or {}).get("bytes_limit")
    observed = f"{need / 2**20:,.0f} MiB per device for one step"
    if limit:
        observed += f" of {limit / 2**20:,.0f}"
    if limit and need > _FULL * limit:
        return Finding(
            WARNING,
            observed,
            "training may stop for want of memory",
            "config.optim.accumulate=2, or a smaller config.batch_size",
        )
    return Finding(OK, observed)


def overfit_one_batch(case: Case) -> Finding:
    """The model can learn one batch by heart."""
    steps = case.options["steps"]
    learned = by_heart(case.config, case.experiment, case.example(), steps)
    losses, dice = learned.losses, learned.dice
    start, end = np.mean(losses[:3]), np.mean(losses[-3:])
    fell = end / start if start > 0 else 1.0
    observed = f"loss {start:.3g} to {end:.3g} ({fell:.0%}) in {steps} steps"
    if dice is not None:
        observed += f", Dice of the batch {dice:.2f}"
    if learned.silent:
        observed += f"; never predicted: {few(learned.silent)}"
    drawing = draw.curve(losses, below=f"step 1 to {steps}: the loss")
    if fell <= _FELL or (dice or 0) >= _DICE:
        if learned.silent:
            return Finding(
                WARNING,
                observed,
                "a class that one batch does not teach may never be learned",
                f"--config.doctor.steps={4 * steps} to see more; class_weights of "
                "the loss; a sampler that shows the class more often",
                drawing,
            )
        return Finding(OK, observed, drawing=drawing)
    some = fell <= _SOME
    return Finding(
        WARNING if some else ERROR,
        observed,
        "the one batch is learned slowly"
        if some
        else "a network that cannot learn one batch by heart will not learn many",
        f"--config.doctor.steps={4 * steps} to see more; another learning rate; "
        "look at masks and losses",
        drawing,
    )


class ByHeart(NamedTuple):
    """What real steps on one batch showed."""

    losses: list[float]  # of each step
    dice: float | None  # of the batch at the end, for two classes
    silent: list[str]  # classes that are never predicted at the end, for more


def by_heart(config, experiment: build.Experiment, batch, steps: int) -> ByHeart:
    """What real steps on one batch teach.

    Nothing is augmented; the rate is that of the config after a short warm-up.
    """
    quick = config.copy_and_resolve_references()
    quick.optim.warmup_steps = steps // 10
    quick.optim.final_scale = 1.0
    quick.transfer.frozen_until = 0
    tx, _ = from_config.optimizer(
        quick, experiment.plan._replace(steps_per_epoch=1, total_steps=steps)
    )
    settings = experiment.settings._replace(
        tx=tx,
        augment=_unchanged,
        augment_options={},
        total_steps=steps,
        steps_per_epoch=1,
    )
    init = experiment.init | {"tx": tx}
    abstract = state.abstract(experiment.mesh, **init)
    train = step.compile_step(settings, abstract)
    now = state.create(config.seed, abstract, **init)
    on_device = sharding.put(dict(batch), experiment.mesh)
    # a step is read when the next one has begun, as in training: with more than 32
    # under way, several devices of one CPU wait for each other's threads for ever
    numbers, pending = [], None
    for _ in range(steps):
        now, more = train(now, on_device)
        if pending is not None:
            numbers.append(jax.device_get(pending))
        pending = more
    numbers.append(jax.device_get(pending))
    last, losses = numbers[-1], [float(n["loss"]) for n in numbers]
    if not experiment.scorer.pixels:
        return ByHeart(losses, None, [])
    if "count/tp" not in last:
        return ByHeart(losses, None, _never_predicted(experiment, settings, now, batch))
    right = 2 * int(last["count/tp"])
    total = right + int(last["count/fp"]) + int(last["count/fn"])
    return ByHeart(losses, right / total if total else None, [])


def _never_predicted(experiment, settings, now: TrainState, batch) -> list[str]:
    """Classes that the batch shows and the model predicts in none of its pixels."""
    predict = functools.partial(
        forward.predict,
        model=settings.model,
        normalise=settings.normalise,
        target=settings.target,
    )
    names = experiment.splits["train"].classes
    variables = {"params": now.params, **now.model_state}
    maps = np.asarray(jax.jit(predict)(variables, {"image": batch["image"]}))
    probability = maps[..., : len(names)]
    labelled = batch["mask"] != IGNORE
    answer, truth = probability.argmax(-1)[labelled], batch["mask"][labelled]
    support = np.bincount(truth, minlength=probability.shape[-1])
    return [
        f"{name} (support {support[c]:,} pixels)"
        for c, name in enumerate(names)
        if support[c] and not (answer == c).any()
    ]


def _unchanged(image, mask, key, instances=None):
    del key
    return (image, mask) if instances is None else (image, mask, instances)
