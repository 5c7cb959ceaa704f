"""Makes the parts of an experiment from its config: data, model, losses, plan."""

import functools
import inspect
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import multihost_utils
from jaxtyping import Integer
from ml_collections import ConfigDict

from jaxseg import lookup, schedule
from jaxseg.data import (
    augment,
    augment_settings,
    class_weights,
    crops,
    intensity,
    pipeline,
    prepared,
    resize,
    sparse_labels,
)
from jaxseg.data.preparation import folds, obtain
from jaxseg.errors import ConfigError
from jaxseg.evaluation.objects.finding import Finding
from jaxseg.experiment import (
    chosen,
    decision,
    finetune,
    image_classes,
    length,
    processes,
    targets,
    training_labels,
    training_plan,
)
from jaxseg.inference import forward
from jaxseg.postprocess import objects
from jaxseg.train_step import optimizer as optimizers
from jaxseg.train_step import plateau, step
from jaxseg.types import Normalise, Target, TrainState


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
        stratify=data.stratify,
        cache=processes.cache_dir(),
        progress=jax.process_index() == 0,
    )


def splits(config: ConfigDict, directory: pathlib.Path) -> dict[str, prepared.Split]:
    """The splits of a run, with config.folds those of config.fold, by `open_splits`.

    Of all folds (-1), where one has to stand for them, they are those of the first.
    """
    return folds.open_splits(directory, folds=config.folds, fold=max(config.fold, 0))


class Parts(NamedTuple):
    """What training and evaluation share."""

    view: pipeline.View
    model: Any  # a Linen module
    normalise: Normalise
    mean: tuple[float, ...]  # by channel, of the scaled image
    std: tuple[float, ...]
    image_shape: tuple[int, int, int]
    intensity: str  # the mode that "auto" became
    target: Target | None = None  # what the channels of the model mean


def parts(config: ConfigDict, card: dict) -> Parts:
    """Model, view and normalisation for the data set of `card`."""
    window = dict(config.data.intensity)
    mode = intensity.resolve(window["mode"], card)
    low, high = window["low"], window["high"]
    mean, std = intensity.statistics(mode, card["channels"], low=low, high=high)
    size = tuple(config.data.image_size)
    data, whole = config.data, config.supervision.name in training_labels.OF_IMAGES
    fit = "crop" if data.pixel_size else resize.resolve(data.fit, card, whole=whole)
    target = targets.of(config, len(card["classes"]))
    return Parts(
        view=pipeline.View(
            size,
            fit,
            mode,
            low,
            high,
            overlap=data.overlap,
            pixel_size=data.pixel_size,
            bits=intensity.bits(window["bits"], card["dtype"]),
        ),
        model=model(config, target.channels, card.get("image_classes")),
        normalise=functools.partial(forward.scale, mean=mean, std=std),
        mean=mean,
        std=std,
        image_shape=(*size, card["channels"]),
        intensity=mode,
        target=target,
    )


def windows(
    config: ConfigDict,
    split: prepared.Split,
    view: pipeline.View,
    labels: training_labels.Drawn,
) -> crops.Windows | None:
    """How the windows of training are placed; None when whole images are seen."""
    if view.fit != "crop":
        return None
    drawn, pixels = labels(), split.pixels
    if drawn is not None:
        pixels = sparse_labels.class_pixels(drawn, len(split.classes))
    return crops.Windows(
        size=view.size,
        seed=training_plan.sampler_seed(config),
        foreground_share=config.data.foreground_share,
        chances=crops.class_chances(pixels),
        sparse=training_labels.is_sparse(config),
    )


def model(
    config: ConfigDict, num_classes: int, classes: Mapping[str, Any] | None = None
) -> Any:
    """The model the config names, with the fields of its block, and its head.

    `classes` is "image_classes" of the data card: see `decision.around`.
    """
    name, fields = config.model.name, chosen.fields(config.model)
    if fields.get("aux") and not config.aux_weight:
        raise ConfigError(
            f"config.aux_weight is 0, so the auxiliary head would never learn; set "
            f"config.model.{name}.aux=False."
        )
    if fields.get("deep_supervision") and training_labels.is_sparse(config):
        raise ConfigError(
            f"config.model.{name}.deep_supervision compares coarser logits with every "
            "second, fourth ... pixel of the mask, which leaves few of the labels of "
            f"config.supervision.name={config.supervision.name!r}, or none: set it to "
            "False."
        )
    module = lookup.find("models", name)
    try:
        made = module.Model(num_classes=num_classes, **fields)
    except TypeError as error:
        key = "fields" if "." in name else name
        raise ConfigError(f"config.model.{key}: {name}: {error}.") from error
    return decision.around(config, made, classes)


def mirrored_axes(config: ConfigDict) -> tuple[int, ...]:
    """The axes of [b, h, w, c] along which `config.eval.mirror` mirrors images.

    They are those that training mirrors: a model that never saw left as right would be
    asked for what it did not learn.
    """
    flips = (config.augment.flip_vertical, config.augment.flip_horizontal)
    axes = tuple(axis for axis, flip in enumerate(flips, 1) if flip)
    return axes if config.eval.mirror else ()


def losses(
    config: ConfigDict,
    pixels: Integer[np.ndarray, "n k"],
    shown: Integer[np.ndarray, "n m"] | None = None,
) -> dict[str, tuple[step.Loss, Any]]:
    """{name: (loss, weight)} of the terms whose weight is not 0.

    `pixels` are the labelled pixels of each class in each training image, from which
    class weights by name follow; those of terms of classes of whole images from
    `shown`, 1 where a training image shows a class.
    """
    terms = {}
    for name, block in config.loss.to_dict().items():
        weight, module = block.pop("weight"), lookup.term(name, block)
        block.pop("module", None)
        schedule.check(weight, name=f"loss.{name}.weight")
        chosen, cap = block.get("class_weights"), block.pop("class_weight_cap", 0.0)
        if weight != 0:
            fn = lookup.find(lookup.TERMS, module).loss
            if isinstance(chosen, str):
                counts = image_classes.counted(name, fn, chosen, pixels, shown)
                block["class_weights"] = class_weights.by_name(chosen, counts, cap=cap)
            _check_arguments(fn, name, block)
            terms[name] = (functools.partial(fn, **block), weight)
            if "teacher" in step.asks_for(fn) and not config.optim.ema:
                raise ConfigError(
                    f"loss.{name} learns from the average of the parameters: set "
                    "config.optim.ema, for example to 0.99."
                )
    if not terms:
        raise ConfigError("every weight in config.loss is 0; give one a weight.")
    return terms


def _check_arguments(fn: step.Loss, name: str, block: dict[str, Any]) -> None:
    signature = inspect.signature(fn)
    try:
        signature.bind_partial(**block)
    except TypeError as error:
        raise ConfigError(f"config.loss.{name}: {error}.") from error
    for argument in signature.parameters.values():
        free = argument.default is argument.empty and argument.name not in block
        if free and argument.name not in step.INPUTS:
            raise ConfigError(
                f"config.loss.{name} asks for {argument.name!r}; a step has "
                f"{', '.join(step.INPUTS)}, and the rest comes from its block."
            )


def optimizer(config: ConfigDict, plan: training_plan.Plan, *, traced: Any = None):
    """(optimizer, step -> learning rate).

    `traced` is a learning rate inside jit, in place of that of the config.
    """
    o = config.optim
    if has_plateau(config):
        plateau.check(rate=o.learning_rate, **o.plateau.to_dict())
    rate = optimizers.learning_rate_schedule(
        learning_rate=o.learning_rate if traced is None else 1.0,
        warmup_steps=length.warmup_steps(config, plan.steps_per_epoch),
        total_steps=plan.total_steps,
        final_scale=o.final_scale,
        shape=o.schedule,
        power=o.power,
    )
    tx = optimizers.make(
        rate if traced is None else lambda count: traced * rate(count),
        name=o.name,
        momentum=o.momentum,
        fields=o.fields.to_dict(),
        weight_decay=o.weight_decay,
        clip_norm=o.clip_norm,
        clip_each=o.clip_each,
        slowed=has_plateau(config),
        groups=finetune.groups(config),
        frozen_until=config.transfer.frozen_until,
    )
    return tx, rate


def has_plateau(config: ConfigDict) -> bool:
    """Whether the learning rate falls when validation stops improving."""
    return config.optim.schedule == "plateau"


def step_settings(
    config: ConfigDict,
    pixels: Integer[np.ndarray, "n k"],
    parts: Parts,
    tx: optax.GradientTransformation,
    plan: training_plan.Plan,
    shown: Integer[np.ndarray, "n m"] | None = None,
) -> step.Settings:
    """What a step of training is made of; `pixels` and `shown` as for `losses`."""
    sparse = training_labels.is_sparse(config)
    augment_settings.check_border(config.augment.border, sparse=sparse)
    terms = losses(config, pixels, shown)
    targets.check_losses(parts.target, terms)
    decision.check(config, terms)
    return step.Settings(
        seed=config.seed,
        model=finetune.held(config, parts.model),
        losses=terms,
        aux_weight=config.aux_weight,
        tx=tx,
        augment=augment.augment,
        augment_options={"sparse": sparse, **config.augment.to_dict()},
        normalise=parts.normalise,
        total_steps=plan.total_steps,
        steps_per_epoch=plan.steps_per_epoch,
        accumulate=config.optim.accumulate,
        ema=config.optim.ema,
        classes=pixels.shape[1],
        deep_weights=tuple(config.deep_weights),
        target=targets.beside_classes(parts.target),
        mix=mix(config, terms, parts.target),
    )


def mix(
    config: ConfigDict, terms: Mapping[str, Any], target: Target | None = None
) -> dict[str, Any]:
    """Settings of `mixing.mix`; ConfigError where a loss needs labels of images, or
    objects, which two images do not share."""
    settings = config.mix.to_dict()
    blends = settings["cutmix"] or settings["mixup"]
    if blends and targets.needs_instances(target, terms):
        raise ConfigError(
            "config.mix.cutmix and config.mix.mixup blend two images, but this run "
            "learns whole objects (config.target, or a loss of instances): set them to "
            "0."
        )
    for name, (fn, _) in terms.items():
        of_image = {"label", "image_logits", "image_classes"} & {*step.asks_for(fn)}
        if of_image and (settings["cutmix"] or settings["mixup"]):
            raise ConfigError(
                f"loss.{name} learns from {min(of_image)} of whole images, which "
                "config.mix.cutmix and config.mix.mixup would blend: set them to 0."
            )
    return settings


def check_outputs(
    settings: step.Settings,
    state: TrainState,
    image_shape: tuple[int, int, int],
    channels: int,
) -> None:
    """Raises ConfigError for logits of another shape, or an output a loss lacks.

    `state` may be shapes alone; nothing is computed.
    """
    asking = {
        output: name
        for name, (fn, _) in settings.losses.items()
        for output in {"image_logits", "coarse_logits"} & {*step.asks_for(fn)}
    }
    model = decision.inner(settings.model)
    own = not type(model).__module__.startswith("jaxseg.models.")
    if not asking and not own:
        return
    variables = {"params": state.params, **state.model_state}
    image = jax.ShapeDtypeStruct((1, *image_shape), np.float32)
    apply = functools.partial(settings.model.apply, train=False)
    outputs = jax.eval_shape(apply, variables, image)
    logits = outputs.get("logits") if isinstance(outputs, dict) else outputs
    wanted = (1, *image_shape[:2], channels)
    if not isinstance(outputs, dict) or getattr(logits, "shape", None) != wanted:
        raise ConfigError(
            f"the model must return {{'logits': {wanted}}} for an image "
            f"{(1, *image_shape)}; it returned {jax.tree.map(jnp.shape, outputs)}."
        )
    for output, name in asking.items():
        if output not in outputs:
            raise ConfigError(
                f"loss.{name} learns from {output}, but the model returns only "
                f"{sorted(outputs)}: {_GIVES[output]}, or set "
                f"config.loss.{name}.weight=0."
            )


_GIVES = {
    "image_logits": "give it a head by config.decision.name",
    "coarse_logits": "choose a model with logits at 1/8 of the size, such as segdecnet",
}


def scoring_options(config: ConfigDict) -> dict[str, Any]:
    """How a split is scored: fields of `score_split.Scoring`."""
    return {
        "seed": config.seed,
        "resamples": config.eval.bootstrap,
        "tolerance": config.eval.tolerance if config.eval.surface else None,
    }


def finding(config: ConfigDict, card: dict, target: Target) -> Finding | None:
    """How the run looks for objects; None where config.objects.rule is ""."""
    block = config.objects
    if not block.rule:
        return None
    return Finding(
        rule=block.rule,
        objective=block.objective,
        cleaning={name: block[name] for name in objects.CLEANING},
        num_classes=len(card["classes"]),
        names=target.names,
        ray_length=target.ray_length or 1.0,
        min_area_shares=tuple(block.min_area_shares),
    )
