"""U-Net from clicks: how many labelled pixels an image does one need?

    python -m jaxseg.main --config=configs/clicks.py:10+50
    python -m jaxseg.sweep --config=configs/clicks.py --workdir=runs/clicks

`:P+N` is P clicks on cells and N on background in every training image, `:masks` the
full masks, `:smoke` two steps. Data: phase-contrast cells in `config.data.dir` (default
$JAXSEG_DATA), and the published settings; without it phantom cells, drawn here, and a
U-Net small enough for two CPU cores. The sweep runs nine budgets and the full masks,
each with three seeds.
"""

import os
import re

from ml_collections import ConfigDict, config_dict

BUDGETS = ("5+5", "10+10", "20+20", "10+50", "30+30", "50+10", "50+50")
BUDGETS += ("300+300", "500+500")


def get_config(arg: str = "") -> ConfigDict:
    """The recipe `arg`: P+N, masks or smoke; "" is 10+10."""
    chosen = arg or "10+10"
    known = re.fullmatch(r"\d+\+\d+", chosen) or chosen in ("masks", "smoke")
    if not known:
        raise ValueError(f"no recipe {arg!r}: give P+N, such as 10+50, masks or smoke.")
    config = _full()
    config.recipe = chosen
    config.recipe_chosen = "by name" if arg else "by default"
    config.data.dir = os.environ.get("JAXSEG_DATA", "")
    if not config.data.dir or chosen == "smoke":
        config.update(_demo())
    if chosen == "smoke":
        config.update(_smoke())
    else:
        config.update_from_flattened_dict(_budget(chosen))
    return config


def get_sweep(seeds: int = 3) -> dict[str, dict]:
    """{member: what it changes}: nine budgets and full masks, `seeds` times each."""
    return {
        f"{name}-seed{seed}": {**_budget(name), "seed": seed}
        for seed in range(seeds)
        for name in (*BUDGETS, "masks")
    }


def _budget(name: str) -> dict:
    if name == "masks":
        return {"supervision.name": "full"}
    positive, negative = map(int, name.split("+"))
    return {
        "supervision.name": "clicks",
        "supervision.positive": positive,
        "supervision.negative": negative,
    }


def _full() -> ConfigDict:
    c = ConfigDict()
    c.name = "clicks"
    c.recipe = ""
    c.recipe_chosen = ""
    c.seed = 0
    c.num_seeds = 1  # more: so many runs, and a report of their mean and interval
    c.epochs = 40
    c.batch_size = 6  # over all devices; 0 = per_device_batch x devices, fixed at start
    c.per_device_batch = 6

    c.data = ConfigDict()
    c.data.name = "phc"  # or image_folder, siim_acr ...
    c.data.dir = ""
    c.data.raw = True  # dir holds raw files, prepared at the first start
    c.data.image_size = (256, 256)  # height, width the model sees, and clicks are on
    c.data.fit = "stretch"  # or "pad": keep the aspect ratio
    # window to 8 bits: auto, none, percentile, zscore, range, imagenet; the limits
    # are percentiles, standard deviations or intensities, None = the mode's own
    c.data.intensity = {
        "mode": "auto",
        "low": config_dict.placeholder(float),
        "high": config_dict.placeholder(float),
    }
    c.data.workers = 0  # processes that decode; 0 = in this one
    c.data.timeout_s = 300  # a batch that takes longer stops the run
    c.data.options = ConfigDict()  # handed to the data set's prepare()
    c.data.demo = {"images": 0, "size": 0}  # phantoms to make; 0 = real data

    # which pixels of the training masks are known: full, clicks, scribbles, stored,
    # image_level; validation and test are always full
    c.supervision = {
        "name": "clicks",
        "positive": 10,  # clicks or strokes an image, in each foreground class
        "negative": 10,  # and in the background
        "strategy": "random",  # of clicks; or centre, boundary, grid
        "length": 40,  # pixels of a scribble
        "annotators": 1,  # whose labels are united
        "seed": -1,  # of the drawing; -1 = config.seed
        "paths": (),  # of stored: supervision.npz of other runs
    }

    c.sampler = ConfigDict()
    c.sampler.seed = 0  # of the order of examples: one for all members of a sweep
    c.sampler.name = "uniform"  # "balanced" when most images are empty
    c.sampler.uniform = ConfigDict()

    c.augment = {  # clicks move with the image, one pixel to one pixel
        "flip_horizontal": 0.5,
        "flip_vertical": 0.5,
        "rotate_degrees": 0.0,
        "scale": (1.0, 1.0),
        "shift": 0.0,
        "brightness": 0.05,
        "contrast": 0.1,
    }

    c.model = ConfigDict()
    c.model.name = "unet"
    c.model.unet = {
        "widths": (64, 128, 256, 512, 1024),
        "norm": "batch",
        "dropout": 0.0,
        "dtype": "float32",
    }
    c.aux_weight = 0.0

    # every term: a weight (a number, or knots over training) and its arguments; the
    # terms of weight 0 need no labels, and are there to be tried
    c.loss = ConfigDict()
    # balance "class": the ratio of clicks does not become the prior; "pixels": it does
    c.loss.partial_cross_entropy = {"weight": _schedule(1.0), "balance": "class"}
    c.loss.total_variation = {"weight": _schedule(0.0)}
    c.loss.entropy = {"weight": _schedule(0.0)}
    c.loss.gated_crf = {"weight": _schedule(0.0), "radius": 5, "downsample": 1}
    c.loss.neighbourhood = {  # a mean teacher: set optim.ema too, to 0.99 say
        "weight": _schedule(0.0),
        "radius": 8,
        "confidence": 0.8,
    }
    # of the whole image: what supervision.name="image_level" leaves to learn from
    c.loss.image_label = {"weight": _schedule(0.0), "sharpness": 5.0}

    c.optim = ConfigDict()
    c.optim.learning_rate = 5e-4
    c.optim.weight_decay = 0.0
    c.optim.warmup_epochs = 1.0
    c.optim.final_scale = 0.0  # of the learning rate, at the end of the cosine
    c.optim.clip_norm = 1.0  # 0 = do not clip
    c.optim.accumulate = 1  # micro-batches a step
    c.optim.ema = 0.0  # decay, after a warm-up, of the evaluated average; 0 = none
    c.optim.bad_steps = 10  # non-finite steps in a row before training stops

    # a weight file, a run directory, or package:efficientnet-lite0; what the file lacks
    # is an error unless allow_missing names it: ("classifier/*",)
    c.pretrained = {"path": "", "allow_missing": ()}
    # patterns are of paths such as "encoder/layer1_0/conv1/kernel"; * crosses "/"
    c.transfer = {
        "freeze": (),  # patterns of parameters that stay as they are: ("encoder/*",)
        "frozen_until": 0,  # optimiser steps after which they learn; 0 = never
        "freeze_norm": (),  # patterns of batch norms that keep their statistics
        "encoder_scale": 1.0,  # times the learning rate
        "decoder_scale": 1.0,
        "layer_decay": 1.0,  # of the rate, from each block of the encoder to the last
    }

    c.eval = ConfigDict()
    c.eval.per_device_batch = 8
    c.eval.every_epochs = 1
    c.eval.metric = "dice_pooled"  # of validation: the best epoch has the highest
    c.eval.patience = 0  # epochs without a better one before stopping; 0 = never
    c.eval.bootstrap = 1000
    c.eval.surface = True  # distances between borders, found objects: a second pass
    c.eval.tolerance = 2.0  # pixels
    c.operating_point = {
        "objective": "dice_pooled",
        "rule": "threshold",  # or triplet, gate
        "min_areas": (0.0,),  # of the image
    }

    c.doctor = {"ignore": (), "prevalence": -1.0, "steps": 100}
    c.mesh = {"data": 0, "fsdp": 1}  # devices; data 0 = all the others
    c.checkpoint = {"keep": 2, "every_steps": 0}  # 0 = at the end of each epoch only
    c.log_every = 10  # steps between lines in TensorBoard
    return c


def _schedule(value):
    """A field that also takes knots, or a tuple, from the command line."""
    return config_dict.FieldReference(value, field_type=object)


def _demo() -> dict:
    return {
        "data": {"image_size": (96, 96), "demo": {"images": 80, "size": 96}, "dir": ""},
        "epochs": 24,
        "batch_size": 8,
        "model": {"unet": {"widths": (12, 24, 48, 96)}},
        "optim": {"learning_rate": 3e-3},
        "eval": {"every_epochs": 4},
    }


def _smoke() -> dict:
    return {
        "epochs": 1,
        "batch_size": 8,
        "data": {"image_size": (32, 32), "demo": {"images": 20, "size": 32}},
        "model": {"unet": {"widths": (4, 6, 8)}},
        "eval": {"bootstrap": 50},
    }
