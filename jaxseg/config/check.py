"""What can be wrong with a config and be said before JAX starts."""

import math
import os

from ml_collections import ConfigDict

from jaxseg import lookup, schedule
from jaxseg.config import base, doctor_checks
from jaxseg.data import augment_settings, class_weights, intensity, resize
from jaxseg.errors import ConfigError
from jaxseg.metrics import overlap
from jaxseg.postprocess import decision

# as jaxseg/train_step/optimizer.py has them, which needs JAX; a test compares
OPTIMIZERS, RATES = ("adamw", "sgd"), ("cosine", "poly")
_POSITIVE = ("epochs", "eval.per_device_batch", "eval.every_epochs", "log_every")
_POSITIVE += ("optim.accumulate", "optim.bad_steps", "eval.bootstrap")
_POSITIVE += ("checkpoint.keep", "num_seeds")


def check(config: ConfigDict) -> None:
    """Raises ConfigError for no config, a wrong key, name, or number out of range."""
    if config is None:
        raise ConfigError("name a recipe, for example --config=configs/pneumothorax.py")
    lookup.check("models", config.model.name)
    lookup.check("data/datasets", config.data.name)
    lookup.check("data/samplers", config.sampler.name)
    lookup.check("data/supervision", config.supervision.name)
    for name, block in config.loss.items():
        lookup.check(lookup.TERMS, lookup.term(name, block))
        if "weight" not in block:
            raise ConfigError(f"config.loss.{name} has no weight; give it one.")
        schedule.check(block.weight, name=f"loss.{name}.weight")
        weights, cap = block.get("class_weights"), block.get("class_weight_cap", 0)
        if isinstance(weights, str):
            class_weights.check(weights, cap=cap, key=f"loss.{name}")
        elif cap:
            raise ConfigError(
                f"config.loss.{name}.class_weight_cap is {cap:g}, but there is no name "
                f"in config.loss.{name}.class_weights whose weights it could bound."
            )
    _keys(config)
    _numbers(config)
    _fields(config)
    for key in _POSITIVE:
        _at_least(config, key, 1)
    for key in ("batch_size", "seed", "data.workers", "steps", "steps_per_epoch"):
        _at_least(config, key, 0)
    _at_least(config, "optim.warmup_steps", -1)
    _at_least(config, "eval.tolerance", 0)
    if not config.batch_size:
        _at_least(config, "per_device_batch", 1)
    _choices(config)
    doctor_checks.options(config)
    size = config.data.image_size
    if len(size) != 2 or min(size) < 1:
        raise ConfigError(
            f"config.data.image_size is {size}; give (height, width) in pixels."
        )
    intensity.bits(config.data.intensity.bits, "uint16")
    augment_settings.check(config.augment, tuple(size))
    flips = config.augment.flip_horizontal, config.augment.flip_vertical
    if config.eval.mirror and not any(flips):
        raise ConfigError(
            "config.eval.mirror averages over mirror images, but config.augment flips "
            "none in training: set augment.flip_horizontal or flip_vertical to 0.5."
        )
    if config.data.demo.images and config.data.dir:
        raise ConfigError(
            f"config.data.dir is {config.data.dir}, but the recipe {config.recipe!r} "
            f"{_why(config)}makes its own data: name the recipe for real data (:full)."
        )
    if not config.data.demo.images and not config.data.dir:
        raise ConfigError(
            f"the recipe {config.recipe!r} needs data: give --config.data.dir=... or "
            "set $JAXSEG_DATA."
        )


def _keys(config: ConfigDict) -> None:
    """ConfigError for a key of the recipe that nothing reads."""
    keys = {*base.keys(base.base())}
    own = {f"loss.{name}" for name, block in config.loss.items() if "module" in block}
    for key in base.keys(config):
        inside = any(key.startswith(f"{block}.") for block in (*base.OPEN, *own))
        if key not in keys | own and not inside:
            raise ConfigError(base.no_key(key, keys))


def _numbers(config: ConfigDict) -> None:
    """ConfigError for a number that is none, and for a word among numbers.

    The command line reads "8,x" as a word.
    """
    default = base.base()
    for key in base.keys(config):
        value = _get(config, key)
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"config.{key} is {value}; give a finite number.")
    for key in {*base.keys(default)} & {*base.keys(config)}:
        example, value = _get(default, key), _get(config, key)
        if isinstance(example, tuple) and example:
            if not all(isinstance(x, (int, float)) for x in value):
                raise ConfigError(
                    f"config.{key} is {value}; give numbers, such as "
                    f"{','.join(map(str, example))}."
                )


def _fields(config: ConfigDict) -> None:
    """ConfigError for fields of a module of the user's own where none is named."""
    for kind in ("model", "sampler"):
        name = config[kind].name
        if config[kind].fields and "." not in name:
            raise ConfigError(
                f"config.{kind}.fields is for a module of your own, but "
                f"config.{kind}.name is {name!r}: set config.{kind}.{name} instead."
            )


def _choices(config: ConfigDict) -> None:
    modes = ("auto", *intensity.MODES)
    for key, allowed in {
        "eval.metric": overlap.METRICS,
        "operating_point.objective": decision.OBJECTIVES,
        "data.fit": resize.MODES,
        "data.intensity.mode": modes,
        "optim.name": OPTIMIZERS,
        "optim.schedule": RATES,
    }.items():
        value = _get(config, key)
        if value not in allowed:
            raise ConfigError(
                f"config.{key} is {value!r}: {lookup.hint(value, allowed)}"
            )
    rule = config.operating_point.rule
    files = [name for name in lookup.names("postprocess") if name != "decision"]
    if "." in rule:
        lookup.check("postprocess", rule)
    elif rule not in (*decision.RULES, *files):
        choices = [*decision.RULES, *files]
        raise ConfigError(
            f"config.operating_point.rule is {rule!r}: {lookup.hint(rule, choices)}"
        )
    if not all(0 <= area <= 1 for area in config.operating_point.min_areas):
        raise ConfigError(
            f"config.operating_point.min_areas is {config.operating_point.min_areas}; "
            "give shares of the image, from 0 to 1."
        )


def _get(config: ConfigDict, key: str):
    for part in key.split("."):
        config = config[part]
    return config


def _why(config: ConfigDict) -> str:
    if config.recipe_chosen == "by name":
        return ""
    return f"(chosen because no prepared {config.data.name} lies there) "


def _at_least(config: ConfigDict, key: str, low: int) -> None:
    value = _get(config, key)
    if value < low:
        raise ConfigError(f"config.{key} is {value}; it must be at least {low}.")


def first_line(config: ConfigDict, workdir: os.PathLike) -> str:
    """Which recipe runs, why, on which data, and where it is written."""
    data = config.data.dir or "demonstration data that it makes itself"
    return (
        f"{config.name}: recipe {config.recipe!r} ({config.recipe_chosen}), data: "
        f"{data}, run directory: {workdir}"
    )
