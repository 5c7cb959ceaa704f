"""Every key of a config once, with its default and what it means.

A recipe begins with `base()` and says what differs:

    from jaxseg.config import base

    def get_config(arg: str = "") -> ConfigDict:
        c = base.base()
        c.name = "mine"
        c.loss.dice.weight = 1.0
        return base.variant(c, arg, {"full": {}, "smoke": {"epochs": 1}})

Each file of models/, losses/, regularisers/ and data/samplers/ has a block here with
its arguments, so any of them can be chosen on the command line of any recipe:
`--config.model.name=unet --config.model.unet.widths=8,16,32`. A test holds that they
are the same. None is "the module's own choice".

A module of your own is named with a dot, and lies where you start the command:

    config.model.name = "my_lab.my_model"       config.model.fields = {"width": 8}
    config.loss.my_term = {"module": "my_lab.my_loss", "weight": 1.0, "power": 2.0}

and the same for data.name (data.options), sampler.name (sampler.fields),
supervision.name (supervision.fields), target.name (target.fields), decision.name
(decision.fields), and for operating_point.rule and objects.rule, whose settings are
chosen on validation. The command line takes such keys too:
`--config.model.fields.width=8 --config.loss.my_term.module=my_lab.my_loss
--config.loss.my_term.weight=1.0`. jaxseg/lookup.py says what the module must define.
"""

import difflib
import functools
import types
from collections.abc import Iterable, Mapping
from typing import Any

from ml_collections import ConfigDict, config_dict

from jaxseg import lookup
from jaxseg.config import (
    base_augment,
    base_decision,
    base_objects,
    base_optim,
    base_sampler,
)
from jaxseg.errors import ConfigError

# blocks whose keys are not ours: the command line may add to them
OPEN = ("model.fields", "sampler.fields", "supervision.fields", "data.options")
OPEN += ("optim.fields", "target.fields", "decision.fields", "data.demo.options")


def base() -> ConfigDict:
    """All keys with their defaults; every term of the loss has weight 0."""
    c = ConfigDict()
    c.name = ""  # of the run: runs/<name>-<recipe>
    c.recipe = ""  # the variant: full, demo, smoke ...
    c.recipe_chosen = ""  # why: by name, by default ...
    # the run directory of the run before, which a comparison shows this one after
    c.parent = ""
    # of the parent: this run begins with all that fits of its "best" or "last" step,
    # parameters, averages and optimizer state; "none" only names the parent
    c.parent_step = "best"
    c.note = ""  # what the run is for, in words: stands in its reports
    c.seed = 0  # of the weights, the order of examples, augmentation and the bootstrap
    c.num_seeds = 1  # more: so many runs, and a report of their mean and interval
    # 3 or more: so many runs, each of which tests another part of the data, and scores
    # of all images together, each by the run that never saw it; 0 = the stored splits
    c.folds = 0
    c.fold = -1  # of them the one that this run tests, from 0; -1 = all, in turn
    c.auto = {  # settings chosen from data and machine: jaxseg/config/auto_rules.py
        "on": False,
        "keep": (),  # keys that stay as they are; those of the command line do
        "reasons": (),  # written by the program: what was chosen, and why
    }
    c.epochs = 100  # passes over what the sampler draws from the training images
    c.steps = 0  # of the optimizer, in place of epochs; 0 = as many as the epochs have
    # steps between validations; 0 = as the sampler says, experiment/length.py how
    c.steps_per_epoch = 0
    c.batch_size = 0  # over all devices; 0 = per_device_batch x devices, fixed at start
    c.per_device_batch = 4  # images a step on each device, where batch_size is 0
    c.data = _data()
    c.supervision = _supervision()
    c.sampler = base_sampler.sampler()
    c.augment = base_augment.augment()
    c.mix = base_augment.mix()
    c.model = _model()
    c.decision = base_decision.decision()
    c.two_stage = base_decision.two_stage()
    c.target = base_objects.target()
    c.objects = base_objects.objects()
    c.aux_weight = 0.4  # of the auxiliary head in the loss
    # of the levels of deep supervision in the loss, the finest first; () = 1, 1/2, 1/4
    # ... divided by their sum
    c.deep_weights = ()
    c.loss = _loss()
    c.optim = base_optim.optim()
    # a weight file, a run directory, or package:efficientnet-lite0; what the file lacks
    # is an error unless allow_missing names it: ("classifier/*",)
    c.pretrained = {"path": "", "allow_missing": ()}
    c.transfer = base_optim.transfer()
    c.eval = _eval()
    c.operating_point = {  # chosen on validation, then frozen
        "objective": "dice_pooled",
        # auto: threshold for 2 classes, offsets (one a class) for more. For 2 classes
        # threshold, triplet, gate, or a module of your own (postprocess); for more
        # offsets or argmax
        "rule": "auto",
        "min_areas": (0.0,),  # smallest foreground that counts, as shares of the image
    }
    c.doctor = {  # what is examined before training
        "ignore": (),  # names of checks of python -m jaxseg.doctor that may fail
        "prevalence": -1.0,  # share of positive images in use; -1 = unknown
        "steps": 100,  # of --deep, on one batch
    }
    c.mesh = {"data": 0, "fsdp": 1}  # devices; data 0 = all the others
    c.checkpoint = {  # what of a run is saved, and when
        "keep": 2,  # newest checkpoints that stay, beside the best
        "every_steps": 0,  # steps between checkpoints; 0 = at the end of each epoch
    }
    c.log_every = 10  # steps between lines in TensorBoard
    return c


def variant(
    config: ConfigDict,
    arg: str,
    variants: Mapping[str, Mapping[str, Any]],
    *,
    default: str = "full",
    why: str = "by default",
) -> ConfigDict:
    """`config` changed to what `--config=NAME:arg` asks for, `default` without an arg.

    Raises ConfigError, with the nearest right name, for another one.
    """
    chosen = arg or default
    if chosen not in variants:
        raise ConfigError(
            f"the recipe has no variant {arg!r}: {lookup.hint(arg, variants)}"
        )
    config.recipe, config.recipe_chosen = chosen, "by name" if arg else why
    config.update(variants[chosen])
    return config


def items(config: ConfigDict) -> list[tuple[str, Any]]:
    """(key, value) of every key, dotted, blocks as well: "optim", "optim.name"."""
    out = []
    for key, value in config.items():
        below = items(value) if isinstance(value, ConfigDict) else []
        out += [(key, value), *((f"{key}.{other}", one) for other, one in below)]
    return out


def keys(config: ConfigDict) -> list[str]:
    """Every key, dotted, blocks as well."""
    return [key for key, _ in items(config)]


@functools.cache
def defaults() -> Mapping[str, Any]:
    """Every key of `base` with its value; not to be changed."""
    return types.MappingProxyType(dict(items(base())))


def get(config: ConfigDict, key: str) -> Any:
    """The value of a dotted key."""
    for part in key.split("."):
        config = config[part]
    return config


def no_key(key: str, choices: Iterable[str]) -> str:
    """The sentence for a key that is none, with the nearest of `choices`."""
    near = difflib.get_close_matches(key, list(choices), n=1)
    use = f"use config.{near[0]}" if near else "jaxseg/config/base.py lists them all"
    return f"the config has no key config.{key}; {use}."


def _any(value: Any) -> config_dict.FieldReference:
    """A number or word that may become a tuple, or a schedule (jaxseg/schedule.py)."""
    return config_dict.FieldReference(value, field_type=object)


def _none(kind: type) -> config_dict.FieldReference:
    """None, or a value of this type."""
    return config_dict.placeholder(kind)


def _data() -> dict[str, Any]:
    """Which images there are, and how the model sees them."""
    return {
        "name": "image_folder",  # of jaxseg/data/datasets/
        "dir": "",  # the data; default $JAXSEG_DATA where the recipe says so
        # whether raw files in dir are prepared in the cache at the first start; what
        # `python -m jaxseg.prepare --data_dir` wrote is recognised, whatever this is
        "raw": True,
        "image_size": (256, 256),  # height, width the model sees
        # how images get to it: "stretch"; "pad", which keeps the aspect ratio; "crop",
        # native scale: windows of this size in training, overlapping tiles elsewhere;
        # "auto": crop for a set of several sizes, else stretch
        "fit": "auto",
        # of crop: windows that are placed around a pixel of a foreground class
        "foreground_share": 0.33,
        "overlap": 0.5,  # of crop: neighbouring tiles, as a share of their side
        # of crop: micrometres to which all images are brought first; 0 = as stored
        "pixel_size": 0.0,
        "intensity": {  # the window that becomes the levels of a batch
            # auto, none, percentile, zscore, range, imagenet
            "mode": "auto",
            # percentiles, standard deviations or intensities; None = the mode's own
            "low": _none(float),
            "high": _none(float),
            "bits": 0,  # kept at most: 8, 16, or 0 = as many as the data has
        },
        # what splits made of a folder agree in: "foreground"; "classes", the rarest
        # that an image shows; "image_classes", the rarest of whole images; "objects" an
        # image; "auto", as the data set says
        "stratify": "auto",
        # processes that decode; 0 = in this one. They end once the cache holds all
        "workers": 0,
        # GiB that images, decoded and at their size, may take in $JAXSEG_CACHE/fitted,
        # for all data sets together; 0 = decoded every time. Results are the same
        "cache_gib": 8.0,
        "timeout_s": 300,  # a batch that takes longer stops the run
        "options": {},  # of the data set's prepare(), such as mask_format
        # phantoms to make; 0 = real data. options: more arguments of their write_demo()
        "demo": {"images": 0, "size": 0, "options": {}},
    }


def _supervision() -> dict[str, Any]:
    """Which pixels of the training masks are known; the others are always full."""
    return {
        "name": "full",  # or clicks, scribbles, stored, image_level, mixed
        "positive": 10,  # clicks or strokes an image, in each foreground class
        "negative": 10,  # and in the background
        "strategy": "random",  # of clicks; or centre, boundary, grid
        "length": 40,  # pixels of a scribble
        "annotators": 1,  # whose labels are united
        "seed": -1,  # of the drawing; -1 = config.seed
        # of mixed: positives that keep their masks, a share from 0 to 1 or a whole
        # number above 1; the others have their image label alone
        "masks": 1.0,
        # of stored: supervision.npz of other runs; of mixed: lists of the ids that keep
        # their masks, one a line
        "paths": (),
        "fields": {},  # of a module of your own
    }


def _model() -> dict[str, Any]:
    """The fields of every model; each file of jaxseg/models/ explains its own."""
    unet = {
        "widths": (64, 128, 256, 512, 1024),  # channels of each level
        "convs": 2,  # of each level
        "norm": "batch",  # or group, instance
        "dropout": 0.0,
        "up": "transposed",  # or bilinear, nearest
        "conv_bias": False,  # this and head_norm rebuild published networks
        "head_norm": False,
        "activation": "relu",  # or leaky_relu
        "down": "max_pool",  # or strided
        "deep_supervision": False,  # losses of coarser levels too: config.deep_weights
        "dtype": "float32",  # or bfloat16, of the computation
    }
    decoder = {
        "decoder_widths": (256, 128, 64, 32, 16),  # at 1/16, 1/8, 1/4, 1/2 and 1
        "decoder_norm": "batch",  # or group, instance, none
        "dropout": 0.0,
        "up": "nearest",  # or bilinear, transposed
        "up_conv": False,  # a convolution after the first two
        "image_skip": False,  # the image itself, to the last level
        "dtype": "float32",
    }
    return {
        "name": "unet",
        "unet": unet,
        "attention_unet": {**unet, "gate_conv": False},  # of the gating signal
        "attention_resunet": {**unet, "gate_conv": False},
        "unet_plus_plus": {k: v for k, v in unet.items() if k != "head_norm"},
        "deeplabv3_plus": {
            "depth": 50,  # 18, 34, 50, 101
            "width": 64,
            "output_stride": 16,  # or 8
            "rates": (12, 24, 36),  # dilations of the pyramid pooling
            "decoder_width": 256,
            "low_width": 48,  # of the map at 1/4
            "dropout": 0.5,  # behind the pooling
            "dtype": "float32",
        },
        "resnet_unet": {"depth": 50, "width": 64, **decoder},  # depth 18, 34, 50, 101
        "resnet_classifier": base_decision.resnet_classifier(),
        "efficientnet_unet": {"width": 1.0, "depth": 1.0, **decoder},  # multipliers
        "swin_upernet": {
            "size": "tiny",  # a published backbone: tiny, small, base, large;
            "embed_dim": _none(int),  # these four replace single fields of it
            "depths": _none(tuple),
            "num_heads": _none(tuple),
            "window": _none(int),
            "width": 512,  # channels of the decoder
            "pool_scales": (1, 2, 3, 6),  # grids of the pyramid pooling
            "aux": True,  # the auxiliary head on stage 3
            "aux_channels": 256,
            "drop_path": 0.0,  # stochastic depth at the last block
            "remat": False,  # less memory, more time, same numbers
            "dtype": "float32",
        },
        "segdecnet": base_decision.segdecnet(),
        "fields": {},  # of a module of your own
    }


def _loss() -> dict[str, Any]:
    """Every term: a weight (a number, or a schedule over training), its arguments."""
    terms = {
        "dice_batch": _overlap(),  # of the whole batch: for rare classes
        "dice": _overlap(),  # of each image
        # class_weights: None, a number a class, or by name from the training pixels:
        # none, inverse (also "auto"), sqrt, median, effective (data/class_weights.py);
        # class_weight_cap: largest ratio of two weights by name, 0 = any
        "cross_entropy": {
            "class_weights": _any(None),
            "class_weight_cap": 0.0,
            "label_smoothing": 0.0,
        },
        "focal": {
            "gamma": 2.0,
            "class_weights": _any(None),
            "class_weight_cap": 0.0,
        },
        "lovasz": {"classes": _none(tuple), "absent_weight": 1.0},
        "tversky": {"alpha": 0.3, "beta": 0.7, **_overlap()},  # of false alarms, misses
        # of sparse labels (config.supervision). balance "class": the ratio of clicks
        # does not become the prior; "pixels": it does
        "partial_cross_entropy": {"balance": "class"},
        # beside sparse labels: these four need none
        "total_variation": {"classes": _none(tuple)},
        "entropy": {},
        "gated_crf": {
            "radius": 5,
            "sigma_rgb": 0.1,
            "sigma_xy": 6.0,
            "downsample": 1,
            "skip_black": False,
        },
        # a mean teacher: set optim.ema too, to 0.99 say
        "neighbourhood": {"radius": 8, "colour": 0.1, "confidence": 0.8},
        # of the whole image: what supervision.name="image_level" leaves to learn from
        "image_label": {"sharpness": 5.0},
        **base_objects.losses(),
        **base_decision.losses(),
    }
    return {name: {"weight": _any(0.0), **terms[name]} for name in terms}


def _overlap() -> dict[str, Any]:
    return {
        "smooth": 1.0,  # pixels
        "classes": _none(tuple),  # None = all but 0
        "absent_weight": 1.0,  # of a class that an image does not show
    }


def _eval() -> dict[str, Any]:
    """How validation and test are scored."""
    return {
        "per_device_batch": 4,  # images that a device predicts at a time
        "every_epochs": 1,  # epochs between two validations
        # of validation: the best epoch has the highest. dice_pooled, dice_positives,
        # dice_kaggle and others of jaxseg/metrics/overlap.py; of a decision head too:
        # image_average_precision, image_roc_auc, image_f1; of classes of whole images
        # class_roc_auc_mean, class_average_precision_mean, class_f1_macro or _accuracy
        "metric": "dice_pooled",
        "patience": 0,  # epochs without a better one before stopping; 0 = never
        # the loss of validation after an epoch: the terms of training, no augmentation
        "loss": True,
        # epochs between pictures in TensorBoard; the first and the last have them too
        "pictures_every": 5,
        "bootstrap": 1000,  # resamples of the images, for intervals
        "surface": True,  # distances of borders and FROC: a second pass over the split
        "tolerance": 2.0,  # pixels that a border may be off
        # True: probabilities are means over the image and its mirror images, along the
        # axes that augment.flip_* mirrors in training
        "mirror": False,
        **base_decision.evidence(),
    }
