"""What the value of a key may be: from where to where, which word, which numbers.

Models, terms and supervisions check their own arguments, once JAX runs. What is said
here of the same keys is said before.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from jaxseg import lookup
from jaxseg.config import base
from jaxseg.errors import ConfigError

# {key, with * for any block of its kind: (lowest, highest, whether below the highest)}
_POSITIVE, _SHARE = (1, math.inf, False), (0, 1, False)
_LARGEST_SEED = 2**32 - 1
MOST_SEEDS = 10_000  # each is a run
_NOT_NEGATIVE, _BELOW_ONE = (0, math.inf, False), (0, 1, True)
RANGES: dict[str, tuple[float, float, bool]] = {
    **dict.fromkeys(
        ("epochs", "log_every", "eval.per_device_batch")
        + ("eval.every_epochs", "eval.pictures_every", "eval.bootstrap")
        + ("optim.accumulate",)
        + ("optim.bad_steps", "mesh.fsdp", "data.timeout_s", "doctor.steps")
        + ("supervision.annotators", "model.*.convs", "model.*.width")
        + ("model.swin_upernet.embed_dim", "model.swin_upernet.window")
        + ("model.swin_upernet.aux_channels", "loss.gated_crf.radius")
        + ("model.*.decoder_width", "model.*.low_width")
        + ("model.*.kernel", "model.*.top_kernel", "decision.*.kernel")
        + ("loss.*.dilate",)
        + ("loss.gated_crf.downsample", "loss.neighbourhood.radius")
        + ("target.border.width", "target.distance.reach", "target.star.reach"),
        _POSITIVE,
    ),
    **dict.fromkeys(
        ("batch_size", "steps", "steps_per_epoch", "data.cache_gib")
        + ("data.demo.images", "data.demo.size", "data.pixel_size", "eval.tolerance")
        + ("eval.patience", "mesh.data", "checkpoint.every_steps", "aux_weight")
        + ("optim.weight_decay", "optim.warmup_epochs")
        + ("optim.clip_norm", "optim.power", "transfer.frozen_until")
        + ("transfer.encoder_scale", "transfer.decoder_scale", "supervision.positive")
        + ("supervision.negative", "supervision.masks")
        + ("sampler.balanced.positive_weight", "sampler.frequency.factor")
        + ("loss.*.smooth", "loss.*.absent_weight", "loss.focal.gamma")
        + ("loss.tversky.alpha", "loss.tversky.beta", "loss.*.class_weight_cap")
        + ("loss.border_cross_entropy.w0", "loss.border_cross_entropy.sigma")
        + ("loss.border_cross_entropy.gap", "loss.distance.beta", "objects.opening")
        + ("objects.min_area", "objects.largest", "optim.plateau.threshold")
        + ("optim.plateau.min_rate", "data.intensity.bits")
        + ("loss.*.w_max", "loss.*.power", "loss.*.positive_weight")
        + ("decision.pooled.outputs",),
        _NOT_NEGATIVE,
    ),
    **dict.fromkeys(
        ("optim.final_scale", "transfer.layer_decay", "mix.erase", "mix.cutmix")
        + ("mix.mixup", "decision.*.features_multiplier")
        + ("decision.*.maximum_multiplier", "decision.*.average_multiplier")
        + ("sampler.balanced.negative_keep", "loss.neighbourhood.confidence"),
        _SHARE,
    ),
    **dict.fromkeys(
        ("optim.ema", "optim.momentum", "model.*.dropout", "model.*.drop_path")
        + ("loss.*.label_smoothing", "decision.*.dropout"),
        _BELOW_ONE,
    ),
    "data.workers": (0, 256, False),  # each is a process
    "num_seeds": (1, MOST_SEEDS, False),
    "folds": (0, 100, False),
    "optim.learning_rate": (1e-12, 100, False),
    "seed": (0, _LARGEST_SEED, False),
    "doctor.prevalence": (-1, 1, False),
    "objects.min_circularity": _SHARE,
    "optim.plateau.factor": _BELOW_ONE,
    "optim.plateau.patience": _POSITIVE,
    "supervision.length": _POSITIVE,
    "checkpoint.keep": (2, math.inf, False),
    "mix.cutmix_alpha": (1e-3, math.inf, False),
    "mix.mixup_alpha": (1e-3, math.inf, False),
    "model.*.eps": (1e-12, math.inf, False),
    "decision.*.eps": (1e-12, math.inf, False),
    "optim.warmup_steps": (-1, math.inf, False),
    "fold": (-1, math.inf, False),
    "sampler.seed": (-1, _LARGEST_SEED, False),
    "supervision.seed": (-1, _LARGEST_SEED, False),
    **dict.fromkeys(
        ("loss.gated_crf.sigma_rgb", "loss.gated_crf.sigma_xy")
        + ("loss.image_label.sharpness", "loss.neighbourhood.colour")
        + ("model.efficientnet_unet.depth",),
        (1e-6, math.inf, False),
    ),
    "model.efficientnet_unet.width": _NOT_NEGATIVE,
    "target.star.n_rays": (4, math.inf, False),
}
# as the modules have them, which need JAX; a test compares
WORDS: dict[str, tuple[Any, ...]] = {
    "parent_step": ("best", "last", "none"),
    "model.*.dtype": ("float32", "bfloat16"),
    "model.*.norm": ("batch", "group", "instance"),
    "model.*.decoder_norm": ("batch", "group", "instance", "none"),
    "model.*.up": ("transposed", "bilinear", "nearest"),
    "model.*.down": ("max_pool", "strided"),
    "model.*.activation": ("relu", "leaky_relu"),
    "model.resnet_unet.depth": (18, 34, 50, 101),
    "model.resnet_classifier.depth": (18, 34, 50, 101),
    "model.deeplabv3_plus.depth": (18, 34, 50, 101),
    "model.deeplabv3_plus.output_stride": (16, 8),
    "model.swin_upernet.size": ("tiny", "small", "base", "large"),
    "model.*.sqrt_of": ("std", "var"),
    "decision.*.sqrt_of": ("std", "var"),
    "decision.*.pool": ("average", "maximum", "both"),
    "loss.partial_cross_entropy.balance": ("class", "pixels"),
    "supervision.strategy": ("random", "centre", "boundary", "grid"),
}
# {key of numbers in a row: (the lowest, the highest, whether they are whole)}
ROWS: dict[str, tuple[float, float, bool]] = {
    "data.image_size": (1, 2**15, True),
    "model.*.widths": (1, math.inf, True),
    "model.*.decoder_widths": (1, math.inf, True),
    "model.*.repeats": (1, math.inf, True),
    "model.*.decoder_repeats": (1, math.inf, True),
    "decision.*.widths": (1, math.inf, True),
    "model.deeplabv3_plus.rates": (1, math.inf, True),
    "model.swin_upernet.depths": (1, math.inf, True),
    "model.swin_upernet.num_heads": (1, math.inf, True),
    "model.swin_upernet.pool_scales": (1, math.inf, True),
    "loss.*.classes": (0, math.inf, True),
    "loss.*.positive_weights": (0, math.inf, False),
    "deep_weights": (0, math.inf, False),
    "mix.erase_area": (0, 1, False),
    "operating_point.min_areas": (0, math.inf, False),
    "objects.min_area_shares": (0, math.inf, False),
}
TEXTS = ("auto.keep", "pretrained.allow_missing", "transfer.freeze")
TEXTS += ("transfer.freeze_norm", "supervision.paths", "doctor.ignore")
TEXTS += ("eval.shortcut_classes",)


def check(config: ConfigDict) -> None:
    """Raises ConfigError for the first key whose value it cannot have."""
    for key in TEXTS:
        if not all(isinstance(text, str) for text in base.get(config, key)):
            raise ConfigError(f"config.{key} is {base.get(config, key)!r}; give texts.")
    for key, value in base.items(config):
        own = key.startswith("loss.") and "module" in config.loss[key.split(".")[1]]
        if value is None or hasattr(value, "keys") or own:
            continue
        if (limits := _of(RANGES, key)) is not None:
            _in_range(key, value, *limits)
        elif (words := _of(WORDS, key)) is not None and value not in words:
            hint = lookup.hint(str(value), map(str, words))
            raise ConfigError(f"config.{key} is {value!r}: {hint}")
        elif (row := _of(ROWS, key)) is not None:
            _row(key, value, *row)
    area = config.mix.erase_area
    if not isinstance(area, (tuple, list)) or len(area) != 2 or area[0] > area[1]:
        raise ConfigError(
            f"config.mix.erase_area is {area}; give two numbers, the smallest share of "
            "the image and the largest."
        )


def _of(table: Mapping[str, Any], key: str) -> Any:
    """What the table says of the key, by its name or by its last part; or None."""
    parts = key.split(".")
    return table.get(key, table.get(f"{parts[0]}.*.{parts[-1]}"))


def _in_range(key: str, value: Any, low: float, high: float, below: bool) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and low <= value <= high and not (below and value == high):
        return
    raise ConfigError(
        f"config.{key} is {value!r}; it must be {_allowed(low, high, below)}."
    )


def _allowed(low: float, high: float, below: bool = False) -> str:
    """The range in words: "at least 1", "from 0 to below 1"."""
    if high == math.inf:
        return f"at least {low:g}"
    top = f"{high:g}" if high < 1e6 else f"{high:,}"
    return f"from {low:g} {'to below' if below else 'to'} {top}"


def _row(key: str, value: Any, low: float, high: float, whole: bool) -> None:
    kind = int if whole else (int, float)
    values = value if isinstance(value, (tuple, list)) else [value]
    if all(isinstance(x, kind) and not isinstance(x, bool) for x in values):
        if all(math.isfinite(x) and low <= x <= high for x in values):
            return
    such = ",".join(map(str, base.defaults().get(key) or (1, 2)))
    raise ConfigError(
        f"config.{key} is {value}; give {'whole ' * whole}numbers "
        f"{'of ' * (high == math.inf)}{_allowed(low, high)}, such as {such}."
    )


def names(config: ConfigDict) -> None:
    """ConfigError for a key of a block of the user's own that is no text."""
    for block in base.OPEN:
        try:
            inside = [*base.get(config, block)]
        except TypeError:  # texts and numbers cannot be sorted
            inside = [None]
        if not all(isinstance(name, str) for name in inside):
            raise ConfigError(f"config.{block} has a key that is no text.")


def without_effect(config: ConfigDict, typed: Sequence[str]) -> list[str]:
    """One line for each setting that the run does not use, though somebody set it.

    `typed` are the keys of the command line: of a recipe it is usual that it holds
    settings of models, samplers and terms that another choice of names would use.
    """
    lines = []
    for key in typed:
        kind, *below = key.split(".")
        inner = below[0] if len(below) > 1 else None  # the block of a choice
        named = kind in ("model", "sampler", "target", "decision")
        chosen = config[kind].name if named else None
        why = ""
        if named and inner not in (None, "fields", chosen):
            why = f"{kind}.name is {chosen!r}"
        elif kind == "loss" and inner and config.loss[inner].weight == 0:
            why = f"loss.{inner}.weight is 0"
        elif kind == "objects" and below != ["rule"] and not config.objects.rule:
            why = "objects.rule is ''"
        elif kind == "supervision" and config.supervision.name == "full":
            why = "supervision.name is 'full'" if below != ["name"] else ""
        elif key == "eval.shortcut_classes" and not config.eval.shortcut:
            why = "eval.shortcut is False"
        elif key == "optim.weight_decay" and config.optim.name == "adam":
            why = "optim.name is 'adam', which does not decay (adamw does)"
        elif key == "supervision.masks" and config.supervision.name != "mixed":
            why = f"supervision.name is {config.supervision.name!r}"
        if why:
            lines.append(f"config.{key} has no effect: config.{why}.")
    model = config.model.get(config.model.name, config.model.fields)
    if config.deep_weights and not model.get("deep_supervision"):
        lines.append(
            f"config.deep_weights has no effect: {config.model.name} was not asked for "
            f"levels of deep supervision (config.model.{config.model.name}."
            "deep_supervision)."
        )
    return lines
