"""Swin-UPerNet on SIIM-ACR chest radiographs: segment pneumothorax, a rare class.

    python -m jaxseg.main --config=configs/pneumothorax.py

`:full` is the published recipe and takes the prepared data in `config.data.dir`
(default $JAXSEG_DATA); `:demo` is the same code on phantom radiographs that it makes
itself, small enough for two CPU cores; `:smoke` is two steps. Without a word it is
`full` where prepared data is present, else `demo`.
"""

import glob
import os

from ml_collections import ConfigDict, config_dict


def get_config(arg: str = "") -> ConfigDict:
    """The recipe `arg`: full, demo or smoke; "" decides by the data that is there."""
    directory = os.environ.get("JAXSEG_DATA", "")
    chosen = arg or ("full" if _prepared(directory) else "demo")
    recipes = {"full": _full, "demo": _demo, "smoke": _smoke}
    if chosen not in recipes:
        raise ValueError(f"no recipe {arg!r}: choose one of {sorted(recipes)}.")
    config = _full()
    config.recipe = chosen
    config.recipe_chosen = "by name" if arg else "by the data present"
    if chosen == "full":
        config.data.dir = directory
    else:
        config.update(recipes[chosen]())
    return config


def _prepared(directory: str) -> bool:
    card = os.path.join(directory, "siim_acr", "*", "card.json")
    return bool(directory) and bool(glob.glob(card))


def _full() -> ConfigDict:
    c = ConfigDict()
    c.name = "pneumothorax"
    c.recipe = "full"
    c.recipe_chosen = ""
    c.seed = 0
    c.num_seeds = 1  # more: so many runs, and a report of their mean and interval
    c.epochs = 200
    c.batch_size = 0  # over all devices; 0 = per_device_batch x devices, fixed at start
    c.per_device_batch = 4

    c.data = ConfigDict()
    c.data.name = "siim_acr"
    c.data.dir = ""  # where `python -m jaxseg.prepare --data_dir` put it
    c.data.raw = False  # True: dir holds raw files, prepared at the first start
    c.data.image_size = (512, 512)  # height, width the model sees
    c.data.fit = "stretch"  # or "pad": keep the aspect ratio
    # window to 8 bits: auto, none, percentile, zscore, range, imagenet; the limits
    # are percentiles, standard deviations or intensities, None = the mode's own
    c.data.intensity = {
        "mode": "auto",
        "low": config_dict.placeholder(float),
        "high": config_dict.placeholder(float),
    }
    c.data.workers = 4  # processes that decode; 0 = in this one
    c.data.timeout_s = 300  # a batch that takes longer stops the run
    c.data.options = ConfigDict()  # handed to the data set's prepare()
    c.data.demo = {"images": 0, "size": 0}  # phantoms to make; 0 = real data

    # which pixels of the training masks are known: full, clicks, scribbles, stored,
    # image_level; validation and test are always full
    c.supervision = {
        "name": "full",
        "positive": 10,  # clicks or strokes an image, in each foreground class
        "negative": 10,  # and in the background
        "strategy": "random",  # of clicks; or centre, boundary, grid
        "length": 40,  # pixels of a scribble
        "annotators": 1,  # whose labels are united
        "seed": -1,  # of the drawing; -1 = config.seed
        "paths": (),  # of stored: supervision.npz of other runs
    }

    c.sampler = ConfigDict()
    c.sampler.seed = -1  # of the order of examples; -1 = config.seed
    c.sampler.name = "balanced"
    # share of positives: a number, or knots ((progress, share), ...); a negative
    # number = as negative_keep and positive_weight imply
    c.sampler.balanced = {
        "share": _schedule(-1.0),
        "negative_keep": 0.15,
        "positive_weight": 1.5,
    }
    c.sampler.uniform = ConfigDict()

    c.augment = {
        "flip_horizontal": 0.5,  # probability
        "rotate_degrees": 10.0,  # magnitudes are "up to"
        "scale": (0.9, 1.1),
        "shift": 0.05,  # of the side
        "elastic_pixels": 8.0,
        "elastic_probability": 0.3,
        "brightness": 0.1,
        "contrast": 0.2,
        "gamma": 0.2,
        "noise": 0.02,
    }

    c.model = ConfigDict()
    c.model.name = "swin_upernet"
    c.model.swin_upernet = {
        "size": "base",
        "width": 512,
        "drop_path": 0.3,
        "aux": True,
        "remat": False,
        "dtype": "bfloat16",
    }
    c.aux_weight = 0.4  # of the auxiliary head in the loss

    # every term: a weight (a number, or knots over training) and its arguments;
    # class_weights "auto" = N / (K n_c) on the training pixels
    c.loss = ConfigDict()
    c.loss.dice_batch = {"weight": _schedule(1.0)}
    c.loss.cross_entropy = {
        "weight": _schedule(1.0),
        "class_weights": _schedule("auto"),
    }
    # for sparse labels (config.supervision): more terms are in configs/clicks.py
    c.loss.partial_cross_entropy = {"weight": _schedule(0.0), "balance": "class"}
    c.loss.image_label = {"weight": _schedule(0.0), "sharpness": 5.0}

    c.optim = ConfigDict()
    c.optim.learning_rate = 1e-4
    c.optim.weight_decay = 0.05
    c.optim.warmup_epochs = 2.0
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
    c.eval.per_device_batch = 4
    c.eval.every_epochs = 1
    c.eval.metric = "dice_pooled"  # of validation: the best epoch has the highest
    c.eval.patience = 0  # epochs without a better one before stopping; 0 = never
    c.eval.bootstrap = 1000
    c.eval.surface = True  # distances of borders and FROC: a second pass over the split
    c.eval.tolerance = 2.0  # pixels that a border may be off
    c.operating_point = {
        "objective": "dice_kaggle",
        "rule": "threshold",  # or triplet, gate
        "min_areas": (0.0, 0.0005, 0.001, 0.002, 0.004),  # of the image
    }

    c.doctor = {
        "ignore": (),  # names of checks of python -m jaxseg.doctor that may fail
        "prevalence": 0.22,  # share of positive images in use; -1 = unknown
        "steps": 100,  # of --deep, on one batch
    }
    c.mesh = {"data": 0, "fsdp": 1}  # devices; data 0 = all the others
    c.checkpoint = {"keep": 2, "every_steps": 0}  # 0 = at the end of each epoch only
    c.log_every = 50  # steps between lines in TensorBoard
    return c


def _demo() -> dict:
    return {
        "epochs": 24,
        "batch_size": 8,
        "data": {
            "image_size": (256, 256),
            "workers": 0,
            "demo": {"images": 640, "size": 256},
        },
        "model": {
            "swin_upernet": {
                "size": "tiny",  # replaced field by field:
                "embed_dim": 16,
                "depths": (2, 2, 2, 2),
                "num_heads": (1, 2, 4, 8),
                "window": 8,
                "width": 24,
                "aux_channels": 16,
                "drop_path": 0.1,
                "dtype": "float32",
            }
        },
        # N / (K n_c) would be about 1 to 140 here: far too much for so short a training
        "loss": {"cross_entropy": {"class_weights": (0.5, 10.0)}},
        "augment": {
            "rotate_degrees": 5.0,
            "scale": (0.95, 1.05),
            "elastic_pixels": 0.0,
            "noise": 0.0,
        },
        "optim": {"learning_rate": 2e-3},
        "eval": {"per_device_batch": 8},
        "doctor": {"prevalence": 0.25},  # of the phantoms
        "log_every": 10,
    }


def _schedule(value):
    """A field that also takes knots, or a tuple, from the command line."""
    return config_dict.FieldReference(value, field_type=object)


def _smoke() -> dict:
    demo = _demo()
    demo["data"] |= {"image_size": (64, 64), "demo": {"images": 40, "size": 64}}
    demo["model"]["swin_upernet"] |= {
        "embed_dim": 8,
        "depths": (1, 1, 1, 1),
        "num_heads": (1, 1, 2, 2),
        "width": 8,
        "aux_channels": 8,
    }
    demo["sampler"] = {"balanced": {"negative_keep": 0.01}}
    return demo | {"epochs": 1, "batch_size": 4, "eval": {"bootstrap": 50}}
