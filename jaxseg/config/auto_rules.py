"""Chooses the settings of a training from its data and its machine, each with a reason.

The idea is that of nnU-Net (Isensee et al., 2021, https://arxiv.org/abs/1809.10486):
a few rules from facts of the data ("fingerprint") replace settings by hand. A rule is
one function below; RULES lists them in the order in which they may build on each other.
Nothing here reads a file or imports JAX: facts in, choices out.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

# Sides in pixels of the largest window. On two CPU cores the first step of a U-Net of
# 16 base channels, on four windows of 256 x 256, takes 2.3 s; nnU-Net gives a GPU of
# 8 GiB windows of 512 x 512.
WINDOW = {"cpu": 256, "gpu": 512}
# Pixels of a step: what keeps a step to a second or two on two cores, and near the
# memory of nnU-Net's plans (12 windows of 512 x 512 in 8 GiB) on a GPU.
STEP_PIXELS_A_CORE = 2**16
STEP_PIXELS_A_GIB = 12 * 512 * 512 / 8
BASE_WIDTH = {"cpu": 16, "gpu": 32}  # channels of the finest level; nnU-Net: 32
WIDEST = {"cpu": 256, "gpu": 512}  # nnU-Net: 512 in two dimensions
BATCH = (4, 32)  # fewest and most windows of a step
COARSEST = 8  # pixels of the shorter side of the coarsest map; nnU-Net stops at 4
LEVELS = (3, 6)
DEEP_LEVELS = 4  # fewest of a U-Net whose decoder has coarser logits too
OBJECT_SIDE = 16.0  # pixels that an object keeps when whole images are reduced
# AdamW's rate at a batch of RATE_BATCH: its usual one (Kingma & Ba, 2014) where a
# training is long; in some hundred steps a U-Net learns rare classes better at five
# times that (tests/benchmarks/README.md).
RATE, RATE_BATCH = {"cpu": 5e-3, "gpu": 1e-3}, 8
MOST_RATE = 2.0  # times that, however many images a step has
SEEN = 100  # times that a training image should be seen
STEPS = {"cpu": (400, 1600), "gpu": (5000, 50000)}
VALIDATIONS = 20  # of a training
SMALL_BATCH = 8  # below it batch statistics are noise (Wu & He, 2018, arXiv:1803.08494)
RARE_IMAGES = 0.25  # of the images that show a class: below it the class is sampled
IMBALANCE = 10.0  # of the pixels of two classes: above it classes are weighted


class Facts(NamedTuple):
    """What the training split of a prepared data set says of itself."""

    sizes: np.ndarray  # i64 [n, 2], height and width of each image
    pixels: np.ndarray  # i64 [n, k], labelled pixels of each class
    present: np.ndarray  # bool [n, k], which classes an image shows
    classes: tuple[str, ...]
    dtype: str
    objects: int | None  # of all images, where objects are labelled one by one
    channels: int = 1
    sparse: bool = False  # most pixels of the training masks are unlabelled


class Machine(NamedTuple):
    """What the training runs on."""

    kind: str  # "cpu" or "gpu"
    cores: int  # of the host
    memory_gib: float  # of one device
    devices: int


class Choice(NamedTuple):
    """One setting, and why it is what it is."""

    key: str  # of the config, dotted
    value: Any
    reason: str


Chosen = dict[str, Any]  # {key: value} of the rules before
Rule = Callable[[Facts, Machine, Chosen], list[Choice]]


def choose(
    facts: Facts, machine: Machine, fixed: dict[str, Any] | None = None
) -> list[Choice]:
    """The choices of all RULES, in order.

    `fixed` holds {key: value} of settings that the user made: no rule changes them, and
    the rules that follow build on them.
    """
    chosen, choices = dict(fixed or {}), []
    for rule in RULES:
        for choice in rule(facts, machine, chosen):
            if choice.key not in (fixed or {}):
                chosen[choice.key] = choice.value
                choices.append(choice)
    return choices


def _fit(facts: Facts, machine: Machine, chosen: Chosen) -> list[Choice]:
    """Windows at native scale, unless whole images fit or may be reduced."""
    limit = WINDOW[machine.kind]
    sizes = np.unique(facts.sizes, axis=0)
    smallest, largest = sizes.min(0), sizes.max(0)
    if len(sizes) > 1:
        window = _window(np.median(facts.sizes, axis=0), limit)
        return [
            Choice(
                "data.fit",
                "crop",
                f"the images come in {len(sizes)} sizes, from {smallest[0]} to "
                f"{largest[0]} pixels high and {smallest[1]} to {largest[1]} wide: one "
                "size for all would change their scales",
            ),
            Choice(
                "data.image_size",
                window,
                f"the median size, at most {limit} pixels a side on a {machine.kind}",
            ),
        ]
    native = tuple(int(n) for n in sizes[0])
    if max(native) <= limit:
        return [
            Choice("data.fit", "stretch", "all images have one size, which fits whole"),
            Choice("data.image_size", native, "the size of the images"),
        ]
    factor = max(native) / limit
    side = _object_side(facts) / factor
    if side >= OBJECT_SIDE:
        reduced = tuple(max(32, round(n / factor / 32) * 32) for n in native)
        return [
            Choice(
                "data.fit",
                "stretch",
                f"all images are {_size(native)}, and reduced {factor:.1f} times their "
                f"objects still measure about {side:.0f} pixels: whole images give "
                "more context than windows",
            ),
            Choice(
                "data.image_size",
                reduced,
                f"at most {limit} pixels a side on a {machine.kind}",
            ),
        ]
    return [
        Choice(
            "data.fit",
            "crop",
            f"reduced {factor:.1f} times to {limit} pixels, objects would measure "
            f"about {side:.0f} pixels, fewer than {OBJECT_SIDE:.0f}: windows keep them",
        ),
        Choice(
            "data.image_size",
            _window(np.array(native), limit),
            f"at most {limit} pixels a side on a {machine.kind}",
        ),
    ]


def _window(size: np.ndarray, limit: int) -> tuple[int, int]:
    """Multiples of 32 from 64 to `limit`, near `size`."""
    return tuple(int(np.clip(round(n / 32) * 32, 64, limit)) for n in size)


def _object_side(facts: Facts) -> float:
    """The side in pixels of a square as large as the typical object.

    Without labelled objects, what one image shows of its smallest class counts as one.
    """
    foreground = facts.pixels[:, 1:]
    if facts.objects:
        return math.sqrt(foreground.sum() / facts.objects)
    medians = [np.median(column[column > 0]) for column in foreground.T if column.any()]
    return math.sqrt(min(medians, default=0))


def _intensity(facts: Facts, machine: Machine, chosen: Chosen) -> list[Choice]:
    """Grey images are stretched one by one, as nnU-Net normalises them one by one."""
    if facts.channels != 1 or facts.dtype != "uint8":
        return []  # "auto" leaves colours as they are and stretches 16 bits
    return [
        Choice(
            "data.intensity.mode",
            "percentile",
            "grey images of other days or devices differ in brightness, which a "
            "stretch of each image takes away",
        )
    ]


def _batch(facts: Facts, machine: Machine, chosen: Chosen) -> list[Choice]:
    """As many windows as the machine computes in a second or two, or holds."""
    height, width = chosen["data.image_size"]
    if machine.kind == "cpu":
        pixels = STEP_PIXELS_A_CORE * machine.cores
        word = "core" if machine.cores == 1 else "cores"
        why = f"about {pixels:,} pixels a step on {machine.cores} {word}"
    else:
        pixels = STEP_PIXELS_A_GIB * machine.memory_gib * machine.devices
        why = (
            f"what {machine.devices} device(s) of {machine.memory_gib:.0f} GiB hold, "
            f"at most {BATCH[1]} a device"
        )
    most = BATCH[1] * machine.devices
    size = int(np.clip(pixels // (height * width), BATCH[0], most))
    images = len(facts.sizes)
    if size > images and chosen["data.fit"] != "crop":  # windows of one image differ
        size, why = max(images, 1), f"the {images} training images"
    size = max(size // machine.devices, 1) * machine.devices
    return [Choice("batch_size", size, why)]


def _network(facts: Facts, machine: Machine, chosen: Chosen) -> list[Choice]:
    """A U-Net whose coarsest map has about COARSEST pixels."""
    short = min(chosen["data.image_size"])
    levels = int(np.clip(int(math.log2(max(short, 1) / COARSEST)) + 1, *LEVELS))
    base, widest = BASE_WIDTH[machine.kind], WIDEST[machine.kind]
    widths = tuple(min(base * 2**level, widest) for level in range(levels))
    batch = chosen["batch_size"]
    if chosen.get("model.name", "unet") != "unet":
        return []  # the fields of another network are its own
    norm, activation = "batch", "relu"
    why = f"{batch} images a step are at least the {SMALL_BATCH} that batch statistics"
    why += " need, and grey levels mean the same in all images"
    if batch < SMALL_BATCH or facts.channels > 1:
        norm, activation = "instance", "leaky_relu"
        why = f"{batch} images a step are fewer than the {SMALL_BATCH} that batch "
        why += "statistics need"
    if facts.channels > 1:
        why = "colours, as those of stains, differ between images"
    return [
        Choice("model.name", "unet", "learns from few images, at any size"),
        Choice(
            "model.unet.widths",
            widths,
            f"{levels} levels halve {short} pixels to about {short >> (levels - 1)}; "
            f"{base} channels at the finest on a {machine.kind}",
        ),
        Choice("model.unet.norm", norm, why),
        Choice("model.unet.activation", activation, f"beside {norm} norm, measured"),
        _deep(facts, len(chosen.get("model.unet.widths", widths))),
    ]


def _deep(facts: Facts, levels: int) -> Choice:
    """Losses of the coarser levels too, where a U-Net has them and the labels do."""
    why = "rare classes are learned sooner, measured; nnU-Net does so too"
    if facts.sparse:
        why = "coarser maps would miss most labels of sparse supervision"
    elif levels < DEEP_LEVELS:
        why = f"{levels} levels leave no coarser map to learn from"
    deep = levels >= DEEP_LEVELS and not facts.sparse
    return Choice("model.unet.deep_supervision", deep, why)


def _training(facts: Facts, machine: Machine, chosen: Chosen) -> list[Choice]:
    """Learning rate and length."""
    batch, images = chosen["batch_size"], len(facts.sizes)
    root, usual = math.sqrt(batch / RATE_BATCH), RATE[machine.kind]
    rate = float(f"{usual * min(root, MOST_RATE):.2g}")
    choices = [
        Choice(
            "optim.learning_rate",
            rate,
            f"AdamW's {usual:g} for {RATE_BATCH} images a step in a training of this "
            f"length, times the square root of {batch} / {RATE_BATCH}, at most doubled",
        )
    ]
    if "epochs" in chosen:  # the user counts in epochs: nothing here counts in steps
        every = max(chosen["epochs"] // VALIDATIONS, 1)
        why = f"validation is scored about {VALIDATIONS} times, or after each epoch"
        return [*choices, Choice("eval.every_epochs", every, why)]
    low, high = STEPS[machine.kind]
    wanted = math.ceil(SEEN * images / batch)
    steps = int(chosen.get("steps") or np.clip(wanted, low, high))
    epoch = int(chosen.get("steps_per_epoch") or max(steps // VALIDATIONS, 1))
    warmup = Choice("optim.warmup_steps", steps // 20, "a twentieth of the training")
    return [
        *choices,
        Choice(
            "steps",
            steps,
            f"{images} images seen {SEEN} times are {wanted} steps; {low} to {high} on "
            f"a {machine.kind}",
        ),
        Choice("steps_per_epoch", epoch, f"{-(-steps // epoch)} epochs in all"),
        Choice("eval.every_epochs", 1, "validation is scored after each epoch"),
        *([] if "optim.warmup_epochs" in chosen else [warmup]),
    ]


def _loss(facts: Facts, machine: Machine, chosen: Chosen) -> list[Choice]:
    """Dice and cross-entropy, with weights where classes are rare."""
    choices = [
        Choice("loss.dice_batch.weight", 1.0, "Dice and cross-entropy, as nnU-Net"),
        Choice("loss.cross_entropy.weight", 1.0, "Dice and cross-entropy, as nnU-Net"),
    ]
    pixels = facts.pixels.sum(0)
    rarest = int(np.argmin(pixels))
    ratio = float(pixels.max() / max(pixels[rarest], 1))
    weights, why = "none", f"pixels of classes differ {ratio:.0f} times at most"
    if ratio > IMBALANCE and len(facts.classes) > 2:
        weights = "sqrt"
        why = (
            f"{facts.classes[rarest]} has {pixels[rarest] / pixels.sum():.2%} of the "
            "pixels: without weights a rare class may never be predicted"
        )
    elif len(facts.classes) == 2:
        why = "Dice over the batch balances two classes"
    return [*choices, Choice("loss.cross_entropy.class_weights", weights, why)]


def _sampler(facts: Facts, machine: Machine, chosen: Chosen) -> list[Choice]:
    """Images of rare classes more often than they come."""
    shares = facts.present[:, 1:].mean(0)
    rarest = int(np.argmin(shares)) + 1
    share = float(shares[rarest - 1])
    if share >= RARE_IMAGES:
        why = f"every class is in at least {share:.0%} of the images"
        return [Choice("sampler.name", "uniform", why)]
    why = f"{facts.classes[rarest]} is in {share:.0%} of the images only"
    if len(facts.classes) > 2:
        return [Choice("sampler.name", "by_class", why)]
    return [
        Choice("sampler.name", "balanced", why),
        Choice("sampler.balanced.share", 0.5, "as many images with it as without"),
    ]


RULES: tuple[Rule, ...] = (
    _fit,
    _intensity,
    _batch,
    _network,
    _training,
    _loss,
    _sampler,
)


def _size(size: Any) -> str:
    return " x ".join(str(int(n)) for n in size)
