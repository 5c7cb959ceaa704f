"""Checks how long training is, in what order, at what rate and for which losses."""

import jax
import numpy as np

from jaxseg import schedule
from jaxseg.data import pipeline
from jaxseg.doctor import draw
from jaxseg.doctor.case import ERROR, OK, WARNING, Case, Finding, few, share
from jaxseg.experiment import finetune, length
from jaxseg.train_step import parameter_groups

_EPOCHS = 3  # whose order is looked at
_CUT = 256  # examples whose cut over processes is looked at
_PROCESSES = (1, 2, 4, 8)
_SIGMAS = 4
_STEPS_PER_EPOCH, _STEPS, _TOO_FEW = 10, 300, 100


def total_steps(case: Case) -> Finding:
    """Enough steps to learn anything; an epoch of a small set is short."""
    plan, train = case.experiment.plan, case.experiment.splits["train"]
    images = plan.total_steps * plan.batch_size
    observed = (
        f"{plan.steps_per_epoch:,} steps per epoch, {plan.total_steps:,} in all; "
        f"{images:,} images seen, each of the {len(train):,} about "
        f"{_times(images / len(train))}"
    )
    short = plan.steps_per_epoch < _STEPS_PER_EPOCH and plan.total_steps < _STEPS
    if short or plan.total_steps < _TOO_FEW:
        return Finding(
            WARNING,
            observed,
            f"{_beginning(case)} may learn little in fewer than {_STEPS} steps, "
            "however many epochs they are called: look whether the curve still rises",
            f"config.steps={_STEPS} or more, or a smaller config.batch_size",
        )
    return Finding(OK, observed)


def _times(count: float) -> str:
    """`2.5 times`, `400 times`, `once`."""
    if count == 1:
        return "once"
    return f"{count:,.0f} times" if count >= 10 else f"{count:.2g} times"


def _beginning(case: Case) -> str:
    """What the run begins with, in words."""
    config = case.config
    if config.pretrained.path:
        return f"a network that begins with the weights of {config.pretrained.path}"
    if config.parent and config.parent_step != "none":
        return f"a network that begins with the weights of {config.parent}"
    return "a network of random weights"


def batch_size(case: Case) -> Finding:
    """The batch is smaller than the set, and not too small for batch norm."""
    size, images = case.experiment.plan.batch_size, len(case.experiment.splits["train"])
    part = size // case.config.optim.accumulate
    observed = f"{size} images a step, {part} at a time, of {images:,}"
    windows = case.experiment.parts.view.fit == "crop"  # of one image, all differ
    if size > images and not windows:
        return Finding(
            WARNING,
            observed,
            "every step holds some images twice, so it costs more and tells no more",
            f"config.batch_size={images} or less",
        )
    if part == 1 and "batch_stats" in case.experiment.abstract.model_state:
        return Finding(
            WARNING,
            observed,
            "batch norm takes its statistics from a single image; those of "
            "evaluation will be different ones",
            "a larger config.batch_size, or a smaller config.optim.accumulate",
        )
    return Finding(OK, observed)


def learning_rate(case: Case) -> Finding:
    """The rate rises, and comes down, within training."""
    peak, total = case.config.optim.learning_rate, case.experiment.plan.total_steps
    warm = length.warmup_steps(case.config, case.experiment.plan.steps_per_epoch)
    observed = f"{peak:.3g} after {warm:,} of {total:,} steps"
    drawing = ""
    if case.scan:  # the real function compiles a little
        at = np.linspace(0, total - 1, min(total, draw.WIDTH)).round().astype(np.int32)
        rates = np.asarray(case.experiment.rate(at), float)
        drawing = draw.curve(rates, below=f"step 1 to {total:,}")
        if not rates.max() > 0:
            return Finding(
                ERROR,
                f"the rate is 0 at all {total:,} steps",
                "nothing would be learned",
                "a longer training, or config.optim.warmup_steps=0",
                drawing,
            )
        if warm < total:
            last = rates[-1] if rates[-1] > 1e-3 * peak else 0
            observed += f", then {last:.2g} at the end"
    if warm > total / 2:
        never = f"warm-up is longer than training: the rate never gets to {peak:.3g}"
        return Finding(
            WARNING,
            observed,
            never if warm >= total else "most of the steps are warm-up",
            f"config.optim.warmup_steps={round(0.1 * total)}",
            drawing,
        )
    return Finding(OK, observed, drawing=drawing)


def loss_weights(case: Case) -> Finding:
    """Every head and every term that is there has a weight."""
    weights = {k: block["weight"] for k, block in case.config.loss.to_dict().items()}
    knots = {k: np.array(schedule.values(w)) for k, w in weights.items()}
    observed = ", ".join(
        f"{name} {_knots(values)}{_stairs(weights[name])}{_class_weights(case, name)}"
        for name, values in knots.items()
        if values.any()
    )
    params = case.experiment.abstract.params
    heads = [p for p in parameter_groups.paths(params) if p.startswith("aux")]
    if heads:
        observed += f"; auxiliary head x {case.config.aux_weight:g}"
    negative = [name for name, values in knots.items() if (values < 0).any()]
    if negative or case.config.aux_weight < 0:
        return Finding(
            ERROR,
            observed,
            f"{few(negative or ['aux_weight'])} is below 0: its mistakes are rewarded",
            "weights of 0 or more",
        )
    chosen = (finetune.groups(case.config) or parameter_groups.groups)(params)
    frozen = parameter_groups.paths(chosen.frozen)
    learning = [path for path in heads if not frozen[path]]
    if learning and case.config.aux_weight == 0:
        return Finding(
            ERROR,
            observed,
            f"the auxiliary head ({few(learning, 2)}) is computed, but no loss "
            "depends on it: it never learns",
            "config.aux_weight=0.4, or switch the head off "
            f"(config.model.{case.config.model.name}.aux=False)",
        )
    off = [name for name, values in knots.items() if not values.any()]
    return Finding(OK, observed + (f"; off: {few(off)}" if off else ""))


def _class_weights(case: Case, name: str) -> str:
    """The class weights of a term, where they are counted on the training pixels."""
    chosen = case.config.loss[name].get("class_weights")
    fn, _ = case.experiment.settings.losses[name]
    weights = getattr(fn, "keywords", {}).get("class_weights")
    if not isinstance(chosen, str) or weights is None:
        return ""
    return f" (classes {chosen}: {', '.join(f'{w:.3g}' for w in weights)})"


def _stairs(weight: schedule.Schedule) -> str:
    return " by epoch" if schedule.is_staircase(weight) else ""


def _knots(values: np.ndarray) -> str:
    return " to ".join(f"{v:g}" for v in dict.fromkeys(values[[0, -1]].tolist()))


def sampling_share(case: Case) -> Finding:
    """The sampler gives the share it promises, however many processes read."""
    experiment, plan = case.experiment, case.experiment.plan
    train = experiment.splits["train"]
    positive, present = train.positive, train.present
    epochs = min(_EPOCHS, plan.epochs)
    target = float(np.mean(plan.shares[:epochs]))
    drawn = np.concatenate([plan.order(epoch=e) for e in range(epochs)])
    fed = positive[drawn]
    noise = _SIGMAS * (target * (1 - target) / len(fed)) ** 0.5 + 1 / len(fed)
    observed = (
        f"{case.config.sampler.name}: {share(fed.sum(), len(fed))} positive in the "
        f"first {len(fed):,} images, target {share(target, 1)}, "
        f"{share(positive.sum(), len(positive))} in the data"
    )
    if len(train.classes) > 2:
        shows = present[drawn].mean(axis=0)[1:]
        each = zip(train.classes[1:], shows.tolist(), strict=True)
        listed = (f"{name} {share(part, 1)}" for name, part in each)
        observed += f"; an image shows {few(listed, 8)}"
    if abs(fed.mean() - target) > noise:
        return Finding(
            ERROR,
            observed,
            "the sampler does not do what the config asks for",
            "look at config.sampler and at the sampler's order()",
        )
    steps = max(1, min(_CUT // plan.batch_size, plan.steps_per_epoch * epochs))
    whole = _cut(experiment, steps, 1)
    counts = sorted({*_PROCESSES, jax.process_count()})
    counts = [n for n in counts if plan.batch_size % n == 0]
    for processes in counts:
        cut = _cut(experiment, steps, processes)
        if not np.array_equal(np.sort(cut), np.sort(whole)):
            return Finding(
                ERROR,
                f"{observed}; of {cut.size} read by {processes} processes "
                f"{share(positive[cut].mean(), 1)}, by one "
                f"{share(positive[whole].mean(), 1)}",
                "with several processes a step is fed other images than with one, so "
                "the sampler is lost",
                "cut the batches of one order over the processes (data/pipeline.py)",
            )
    return Finding(OK, f"{observed}; the same batches for {few(counts)} processes")


def _cut(experiment, steps: int, processes: int) -> np.ndarray:
    """i64 [steps, batch]: the examples of each step, as all processes read them."""
    plan = experiment.plan
    parts = [
        pipeline.train_batches(
            experiment.splits["train"],
            _index_only,
            plan.order,
            epoch_size=plan.epoch_size,
            batch_size=plan.batch_size,
            steps=steps,
            process=p,
            processes=processes,
        )
        for p in range(processes)
    ]
    rows = [[batch["index"] for batch in part] for part in parts]
    return np.concatenate([np.reshape(part, (steps, -1)) for part in rows], axis=1)


def _index_only(split, index: int) -> dict[str, np.ndarray]:
    """In place of the view: which example, without reading it."""
    del split
    return {"index": np.int64(index)}
