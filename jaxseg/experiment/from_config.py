"""From a config to parts: the only place, with the loops above it, that reads one."""

import functools
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from jaxseg import lookup, schedule
from jaxseg.data import augment, intensity, pipeline, prepared
from jaxseg.data.preparation import obtain
from jaxseg.errors import ConfigError
from jaxseg.experiment import finetune, training_labels
from jaxseg.inference import forward
from jaxseg.train_step import optimizer, step


def dataset(config: ConfigDict) -> pathlib.Path:
    """The prepared data set that the config names, made first where that is possible.

    Demonstration data is drawn and prepared in the cache, and so is a raw folder; a
    real data set must have been prepared before.
    """
    if jax.process_index() == 0:
        directory = _dataset(config)
    if jax.process_count() > 1:  # the others wait, then find it ready
        multihost_utils.sync_global_devices("data prepared")
        directory = _dataset(config)
    return directory


def _dataset(config: ConfigDict) -> pathlib.Path:
    data = config.data
    return obtain.dataset(
        data.name,
        directory=data.dir,
        raw=data.raw,
        demo=data.demo.to_dict(),
        options=data.options.to_dict(),
        cache=cache_dir(),
        progress=jax.process_index() == 0,
    )


class Parts(NamedTuple):
    """What training and evaluation share."""

    view: pipeline.View
    model: Any  # a Linen module
    normalise: types.Normalise
    image_shape: tuple[int, int, int]
    intensity: str  # the mode that "auto" became


def parts(config: ConfigDict, card: dict) -> Parts:
    """Model, view and normalisation for the data set of `card`."""
    window = dict(config.data.intensity)
    mode = intensity.resolve(window["mode"], card)
    low, high = window["low"], window["high"]
    mean, std = intensity.statistics(mode, card["channels"], low=low, high=high)
    size = tuple(config.data.image_size)
    return Parts(
        view=pipeline.View(size, config.data.fit, mode, low, high),
        model=model(config, len(card["classes"])),
        normalise=functools.partial(forward.scale, mean=mean, std=std),
        image_shape=(*size, card["channels"]),
        intensity=mode,
    )


def model(config: ConfigDict, num_classes: int) -> Any:
    """The model the config names, with the fields of the block of that name."""
    name = config.model.name
    fields = config.model[name].to_dict() if name in config.model else {}
    if fields.get("aux") and not config.aux_weight:
        raise ConfigError(
            f"config.aux_weight is 0, so the auxiliary head would never learn; set "
            f"config.model.{name}.aux=False."
        )
    try:
        return lookup.find("models", name).Model(num_classes=num_classes, **fields)
    except TypeError as error:
        raise ConfigError(f"config.model.{name}: {error}.") from error


def losses(config: ConfigDict, card: dict) -> dict[str, tuple[step.Loss, Any]]:
    """{name: (loss, weight)} of the terms whose weight is not 0."""
    terms = {}
    for name, block in config.loss.to_dict().items():
        weight = block.pop("weight")
        schedule.check(weight, name=f"loss.{name}.weight")
        if block.get("class_weights") == "auto":
            block["class_weights"] = tuple(card["class_weights"])
        if weight != 0:
            fn = lookup.find(lookup.TERMS, name).loss
            terms[name] = (functools.partial(fn, **block), weight)
            if "teacher" in step.asks_for(fn) and not config.optim.ema:
                raise ConfigError(
                    f"loss.{name} learns from the average of the parameters: set "
                    "config.optim.ema, for example to 0.99."
                )
    if not terms:
        raise ConfigError("every weight in config.loss is 0; give one a weight.")
    return terms


class Plan(NamedTuple):
    """How long training is, in every unit."""

    batch_size: int
    epoch_size: int  # examples, a multiple of the batch size
    steps_per_epoch: int
    total_steps: int
    order: pipeline.Order  # (epoch=) -> indices
    shares: tuple[float, ...]  # target share of positives of each epoch


def plan(config: ConfigDict, split: prepared.Split, batch_size: int) -> Plan:
    """The order of examples and the number of steps."""
    name = config.sampler.name
    sampler = lookup.find("data/samplers", name)
    options = config.sampler[name].to_dict() if name in config.sampler else {}
    positive = split.positive
    wanted = sampler.epoch_size(positive, **options)
    steps = max(1, round(wanted / batch_size))
    sampler_args = {"epochs": config.epochs, **options}
    return Plan(
        batch_size=batch_size,
        epoch_size=steps * batch_size,
        steps_per_epoch=steps,
        total_steps=steps * config.epochs,
        order=functools.partial(
            sampler.order,
            positive,
            seed=config.sampler.seed if config.sampler.seed >= 0 else config.seed,
            size=steps * batch_size,
            **sampler_args,
        ),
        shares=tuple(
            sampler.share(positive, epoch=e, **sampler_args)
            for e in range(config.epochs)
        ),
    )


def optimiser(config: ConfigDict, plan: Plan):
    """(optimiser, step -> learning rate)."""
    o = config.optim
    rate = optimizer.learning_rate_schedule(
        learning_rate=o.learning_rate,
        warmup_steps=round(o.warmup_epochs * plan.steps_per_epoch),
        total_steps=plan.total_steps,
        final_scale=o.final_scale,
    )
    tx = optimizer.make(
        rate,
        weight_decay=o.weight_decay,
        clip_norm=o.clip_norm,
        groups=finetune.groups(config),
        frozen_until=config.transfer.frozen_until,
    )
    return tx, rate


def train_step(config: ConfigDict, card: dict, parts: Parts, tx, total_steps: int):
    """`step.train_step` with everything bound but state and batch."""
    return functools.partial(
        step.train_step,
        seed=config.seed,
        model=finetune.held(config, parts.model),
        losses=losses(config, card),
        aux_weight=config.aux_weight,
        tx=tx,
        augment=functools.partial(
            augment.augment,
            sparse=training_labels.is_sparse(config),
            **config.augment.to_dict(),
        ),
        normalise=parts.normalise,
        total_steps=total_steps,
        accumulate=config.optim.accumulate,
        ema=config.optim.ema,
    )


def batch_size(config: ConfigDict, known: int = 0) -> int:
    """Examples a step over all devices; ConfigError when it cannot be shared out.

    `known` is that of the run so far: it stays, whatever the devices now.
    """
    devices = jax.device_count()
    size = known or config.batch_size or config.per_device_batch * devices
    unit = devices * config.optim.accumulate
    if size % unit:
        raise ConfigError(
            f"the batch has {size} images, which {devices} device(s) x "
            f"{config.optim.accumulate} micro-batch(es) cannot share equally; "
            f"set config.batch_size to a multiple of {unit}."
        )
    return size


def check_labels(split: prepared.Split) -> None:
    """ConfigError when a split that must be scored holds no labelled pixel."""
    if not np.any(split.pixels):
        raise ConfigError(
            f"the {split.name} split has no labelled pixel; it cannot be scored."
        )
