"""What can be wrong with a config and be said before JAX starts."""

import math
import os

from ml_collections import ConfigDict

from jaxseg import lookup, schedule
from jaxseg.config import (
    base,
    check_decision,
    check_evidence,
    check_folds,
    check_objects,
    check_supervision,
    doctor_checks,
    limits,
)
from jaxseg.data import augment_settings, class_weights, intensity, resize
from jaxseg.data.preparation import strata
from jaxseg.errors import ConfigError
from jaxseg.metrics import classification, image_classification, overlap
from jaxseg.postprocess import decision
from jaxseg.run_directory import bucket

# as jaxseg/train_step/optimizer.py has them, which needs JAX; a test compares
OPTIMIZERS = ("adamw", "adam", "sgd", "lion")  # and any other of optax, such as:
_OF_OPTAX = ("adabelief", "adadelta", "adafactor", "adagrad", "adamax", "adamaxw")
_OF_OPTAX += ("adan", "amsgrad", "fromage", "lamb", "lars", "nadam", "nadamw")
_OF_OPTAX += ("noisy_sgd", "novograd", "optimistic_adam", "radam", "rmsprop", "rprop")
_OF_OPTAX += ("sign_sgd", "signum", "sm3", "yogi")
RATES = ("cosine", "poly", "constant", "plateau")


def check(config: ConfigDict) -> None:
    """Raises ConfigError for no config, a wrong key, name, or number out of range."""
    if config is None:
        raise ConfigError("name a recipe, for example --config=configs/pneumothorax.py")
    limits.names(config)
    lookup.check("models", config.model.name)
    lookup.check("data/datasets", config.data.name)
    lookup.check("data/samplers", config.sampler.name)
    lookup.check("data/supervision", config.supervision.name)
    for name, block in config.loss.items():
        if not isinstance(module := lookup.term(name, block), str):
            raise ConfigError(
                f"config.loss.{name}.module is {module!r}; name a module, such as "
                "my_lab.my_loss."
            )
        lookup.check(lookup.TERMS, module)
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
    for key in ("data.dir", "parent", "pretrained.path"):
        bucket.refuse(f"config.{key}", base.get(config, key))
    _numbers(config)
    _fields(config)
    limits.check(config)
    _files(config)
    _shares(config)
    if not config.batch_size:
        _at_least(config, "per_device_batch", 1)
    _choices(config)
    check_objects.check(config)
    check_supervision.check(config)
    check_decision.check(config)
    check_evidence.check(config)
    check_folds.check(config)
    _mirror(config)
    doctor_checks.options(config)
    size = config.data.image_size
    if len(size) != 2 or min(size) < 1:
        raise ConfigError(
            f"config.data.image_size is {size}; give (height, width) in pixels."
        )
    _crop(config)
    intensity.bits(config.data.intensity.bits, "uint16")
    low, high = config.data.intensity.low, config.data.intensity.high
    if None not in (low, high) and low >= high:
        raise ConfigError(
            f"config.data.intensity.low is {low:g} and high {high:g}; low must be less."
        )
    augment_settings.check(config.augment, tuple(size))
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


def _files(config: ConfigDict) -> None:
    """ConfigError for weights that are not there."""
    path = config.pretrained.path
    if path and config.parent and config.parent_step != "none":
        raise ConfigError(
            f"config.pretrained.path is {path} and config.parent {config.parent}: a "
            "run begins with one of them. Give --config.parent_step=none, which only "
            "names the parent, or no pretrained.path."
        )
    if path and not path.startswith("package:") and not os.path.exists(path):
        raise ConfigError(f"config.pretrained.path is {path}, which does not exist.")


def _shares(config: ConfigDict) -> None:
    """ConfigError for words where a sampler wants a number, or numbers, or knots."""
    balanced, by_class = (config.sampler.get(n, {}) for n in ("balanced", "by_class"))
    schedule.check(balanced.get("share", -1.0), name="sampler.balanced.share")
    by_image_class = config.sampler.get("by_image_class", {})
    for name, block in {"by_class": by_class, "by_image_class": by_image_class}.items():
        share = block.get("share", -1.0)
        if not isinstance(share, (int, float, tuple, list)):
            raise ConfigError(
                f"config.sampler.{name}.share is {share!r}; give a number, or one for "
                "none of the classes and one for each."
            )
    for name in ("balanced", "by_class", "by_image_class"):
        share = config.sampler.get(name, {}).get("share", -1.0)
        if isinstance(share, (int, float)) and not (0 <= share <= 1 or share == -1):
            raise ConfigError(
                f"config.sampler.{name}.share is {share!r}; a share is from 0 to 1, or "
                "-1 for that of the data."
            )


def _crop(config: ConfigDict) -> None:
    share, overlap = config.data.foreground_share, config.data.overlap
    if not 0 <= share <= 1:
        raise ConfigError(
            f"config.data.foreground_share is {share}; a share is from 0 to 1."
        )
    if not 0 <= overlap <= 0.9:
        raise ConfigError(
            f"config.data.overlap is {overlap}; give a share of a tile, from 0 to 0.9."
        )
    if config.data.pixel_size and config.data.fit not in ("auto", "crop"):
        raise ConfigError(
            f"config.data.pixel_size is {config.data.pixel_size:g}, but "
            f"config.data.fit={config.data.fit} brings all images to one size: use "
            "'crop', or pixel_size=0."
        )


def _mirror(config: ConfigDict) -> None:
    """ConfigError for mirror images in evaluation that training never showed."""
    flips = (config.augment.flip_horizontal, config.augment.flip_vertical)
    if config.eval.mirror and not any(flips):
        raise ConfigError(
            "config.eval.mirror is True, but training mirrors no image: set "
            "config.augment.flip_horizontal or flip_vertical, for example to 0.5, or "
            "config.eval.mirror to False."
        )


def _keys(config: ConfigDict) -> None:
    """ConfigError for a key of the recipe that nothing reads."""
    own = {f"loss.{name}" for name, block in config.loss.items() if "module" in block}
    keys = {*base.defaults()} | own
    open_blocks = tuple(f"{block}." for block in (*base.OPEN, *own))
    for key in base.keys(config):
        if key not in keys and not key.startswith(open_blocks):
            raise ConfigError(base.no_key(key, keys))


def _numbers(config: ConfigDict) -> None:
    """ConfigError for a number that is none, and for a word among numbers.

    The command line reads "8,x" as a word.
    """
    values, default = dict(base.items(config)), base.defaults()
    for key, value in values.items():
        several = value if isinstance(value, (tuple, list)) else (value,)
        if any(isinstance(x, float) and not math.isfinite(x) for x in several):
            raise ConfigError(f"config.{key} is {value}; give a finite number.")
    for key in default.keys() & values.keys():
        example, value = default[key], values[key]
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
        "eval.metric": (
            *overlap.METRICS,
            *classification.HISTORY,
            *image_classification.HISTORY,
        ),
        "operating_point.objective": decision.OBJECTIVES,
        "two_stage.objective": overlap.METRICS,
        "data.fit": resize.FITS,
        "data.intensity.mode": modes,
        "data.stratify": strata.CHOICES,
        "optim.schedule": RATES,
    }.items():
        value = base.get(config, key)
        if value not in allowed:
            raise ConfigError(
                f"config.{key} is {value!r}: {lookup.hint(value, allowed)}"
            )
    _optimizer(config.optim.name)
    rule = config.operating_point.rule
    files = [name for name in lookup.names("postprocess") if name != "decision"]
    if "." in rule:
        lookup.check("postprocess", rule)
    elif rule not in (choices := _rules(files)):
        raise ConfigError(
            f"config.operating_point.rule is {rule!r}: {lookup.hint(rule, choices)}"
        )
    if not all(0 <= area <= 1 for area in config.operating_point.min_areas):
        raise ConfigError(
            f"config.operating_point.min_areas is {config.operating_point.min_areas}; "
            "give shares of the image, from 0 to 1."
        )


def _optimizer(name: str) -> None:
    """ConfigError for a name that is nearly that of an optimizer.

    What is like none of these may be new in optax, which is asked once JAX runs.
    """
    names = (*OPTIMIZERS, *_OF_OPTAX)
    hint = lookup.hint(name, names)
    if name not in names and (hint.startswith("did you") or not name.isidentifier()):
        raise ConfigError(f"config.optim.name is {name!r}: {hint}")


def _rules(files: list[str]) -> list[str]:
    """The names of all decision rules; `files` are those of postprocess/."""
    return [decision.AUTO, *decision.RULES, *decision.CLASS_RULES, *files]


def _why(config: ConfigDict) -> str:
    if config.recipe_chosen == "by name":
        return ""
    return f"(chosen because no prepared {config.data.name} lies there) "


def _at_least(config: ConfigDict, key: str, low: int) -> None:
    value = base.get(config, key)
    if value < low:
        raise ConfigError(f"config.{key} is {value}; it must be at least {low}.")


def first_line(config: ConfigDict, workdir: os.PathLike) -> str:
    """Which recipe runs, why, on which data, and where it is written."""
    data = config.data.dir or "demonstration data that it makes itself"
    return (
        f"{config.name}: recipe {config.recipe!r} ({config.recipe_chosen}), data: "
        f"{data}, run directory: {workdir}"
    )
