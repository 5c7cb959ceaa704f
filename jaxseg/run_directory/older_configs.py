"""What configs of before did not say: the values that their runs were trained with.

Frozen: a default that changes in base.py, or in a model or a loss, must not change what
an older run is. Never edit a value here; when base.py gets a new key, add to NEW what
the code did before there was one.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from jaxseg.errors import ConfigError

NEW: dict[str, Any] = {
    "num_seeds": 1,
    "folds": 0,
    "fold": -1,
    "auto": {"on": False, "keep": (), "reasons": ()},
    "data.foreground_share": 0.33,
    "data.overlap": 0.5,
    "data.pixel_size": 0.0,
    "data.stratify": "foreground",
    "data.demo.options": {},
    "steps": 0,
    "steps_per_epoch": 0,
    "optim.warmup_steps": -1,
    "optim.name": "adamw",
    "optim.fields": {},
    "optim.momentum": 0.99,
    "optim.schedule": "cosine",
    "optim.power": 0.9,
    "optim.plateau": {
        "factor": 0.5,
        "patience": 10,
        "threshold": 1e-4,
        "min_rate": 1e-6,
    },
    "optim.clip_each": False,
    "mix": {
        "erase": 0.0,
        "erase_area": (0.02, 0.2),
        "cutmix": 0.0,
        "cutmix_alpha": 1.0,
        "mixup": 0.0,
        "mixup_alpha": 0.2,
    },
    "data.raw": False,
    "data.cache_gib": 0.0,
    "data.intensity.bits": 8,
    "sampler.seed": -1,
    "sampler.fields": {},
    "sampler.frequency": {"factor": 4.0},
    "sampler.by_image_class": {"share": -1.0},
    "supervision": {
        "name": "full",
        "positive": 10,
        "negative": 10,
        "strategy": "random",
        "length": 40,
        "annotators": 1,
        "seed": -1,
        "paths": (),
    },
    "supervision.fields": {},
    "supervision.masks": 1.0,
    "model.fields": {},
    "pretrained": {"path": "", "allow_missing": ()},
    "transfer": {
        "freeze": (),
        "frozen_until": 0,
        "freeze_norm": (),
        "encoder_scale": 1.0,
        "decoder_scale": 1.0,
        "layer_decay": 1.0,
    },
    "operating_point.rule": "threshold",
    "eval.loss": False,
    "eval.pictures_every": 1,
    "eval.surface": True,
    "eval.tolerance": 2.0,
    "eval.mirror": False,
    "eval.shortcut": False,
    "eval.shortcut_classes": (),
    "eval.localise": {"image_class": "", "mask_class": ""},
    "parent": "",
    "parent_step": "none",
    "note": "",
    "deep_weights": (),
    "decision": {
        "name": "",
        "segdec": {
            "widths": (8, 16, 32),
            "kernel": 5,
            "eps": 1e-3,
            "sqrt_of": "std",
            "features_multiplier": 0.0,
            "maximum_multiplier": 0.0,
            "average_multiplier": 0.0,
        },
        "pooled": {"pool": "average", "dropout": 0.0, "outputs": 1},
        "fields": {},
    },
    "two_stage": {
        "on": False,
        "image_class": "",
        "pixel_class": "",
        "objective": "dice_pooled",
    },
    "target": {
        "name": "classes",
        "border": {"width": 1},
        "distance": {"reach": 32},
        "star": {"n_rays": 32, "reach": 64},
        "regions": {"order": ()},
        "fields": {},
    },
    "objects": {
        "rule": "",
        "objective": "f1_50",
        "fill_holes": False,
        "opening": 0,
        "min_area": 0,
        "min_area_shares": (0.0,),
        "min_circularity": 0.0,
        "largest": 0,
    },
    "doctor": {"ignore": (), "prevalence": -1.0, "steps": 100},
}
_UNET = {
    "widths": (64, 128, 256, 512, 1024),
    "convs": 2,
    "norm": "batch",
    "dropout": 0.0,
    "up": "transposed",
    "conv_bias": False,
    "head_norm": False,
    "activation": "relu",
    "down": "max_pool",
    "deep_supervision": False,
    "dtype": "float32",
}
_DECODER = {
    "decoder_widths": (256, 128, 64, 32, 16),
    "decoder_norm": "batch",
    "dropout": 0.0,
    "up": "nearest",
    "up_conv": False,
    "image_skip": False,
    "dtype": "float32",
}
_SWIN = {"size": "tiny", "embed_dim": None, "depths": None, "num_heads": None}
_SWIN |= {"window": None, "width": 512, "pool_scales": (1, 2, 3, 6), "aux": True}
_SWIN |= {"aux_channels": 256, "drop_path": 0.0, "remat": False, "dtype": "float32"}
MODELS: dict[str, dict[str, Any]] = {
    "unet": _UNET,
    "attention_unet": _UNET | {"gate_conv": False},
    "attention_resunet": _UNET | {"gate_conv": False},
    "resnet_unet": {"depth": 50, "width": 64, **_DECODER},
    "resnet_classifier": {
        "depth": 50,
        "width": 64,
        "pixel_head": False,
        "dtype": "float32",
    },
    "efficientnet_unet": {"width": 1.0, "depth": 1.0, **_DECODER},
    "swin_upernet": _SWIN,
}
_OVERLAP = {"smooth": 1.0, "classes": None, "absent_weight": 1.0}
_CRF = {"radius": 5, "sigma_rgb": 0.1, "sigma_xy": 6.0, "downsample": 1}
_EMPHASIS = {"w_max": 1.0, "power": 2.0, "dilate": 1, "per_object": False}
TERMS: dict[str, dict[str, Any]] = {
    "cross_entropy": {
        "class_weights": None,
        "class_weight_cap": 0.0,
        "label_smoothing": 0.0,
    },
    "dice": _OVERLAP,
    "dice_batch": _OVERLAP,
    "focal": {"gamma": 2.0, "class_weights": None, "class_weight_cap": 0.0},
    "lovasz": {"classes": None, "absent_weight": 1.0},
    "tversky": {"alpha": 0.3, "beta": 0.7, **_OVERLAP},
    "partial_cross_entropy": {"balance": "class"},
    "total_variation": {"classes": None},
    "entropy": {},
    "gated_crf": _CRF | {"skip_black": False},
    "neighbourhood": {"radius": 8, "colour": 0.1, "confidence": 0.8},
    "image_label": {"sharpness": 5.0},
    "border_cross_entropy": {
        "w0": 10.0,
        "sigma": 5.0,
        "gap": 1,
        "class_weights": None,
        "class_weight_cap": 0.0,
    },
    "distance": {"beta": 0.1},
    "object_probability": {},
    "star_rays": {},
    "region_cross_entropy": {"weights": ()},
    "region_dice": {"smooth": 1.0},
    "distance_cross_entropy": _EMPHASIS,
    "coarse_cross_entropy": _EMPHASIS,
    "image_cross_entropy": {"positive_weight": 1.0},
    "image_class_cross_entropy": {
        "class_weights": None,
        "class_weight_cap": 0.0,
        "label_smoothing": 0.0,
    },
    "image_class_binary_cross_entropy": {"positive_weights": None},
}
_TONES = ("brightness", "contrast", "gamma", "noise")
AUGMENT: dict[str, Any] = {
    "flip_horizontal": 0.0,
    "flip_vertical": 0.0,
    "rotate_degrees": 0.0,
    "scale": (1.0, 1.0),
    "shift": 0.0,
    "shear_degrees": 0.0,
    **{f"{name}_probability": 1.0 for name in ("rotate", "scale", "shift", "shear")},
    "affine_probability": 1.0,
    "border": "constant",
    "elastic_pixels": 0.0,
    "elastic_cells": 4,
    "elastic_probability": 1.0,
    **{name: 0.0 for name in _TONES},
    **{f"{name}_probability": 1.0 for name in _TONES},
    "clip": True,
}


def complete(config: ConfigDict) -> ConfigDict:
    """A copy with the keys that it lacks, set to what was the rule before them.

    Of models only the one that it names gets its fields: a block that is not there is
    a model, or a term of weight 0, that the run does not use.
    """
    return add_missing(config.copy_and_resolve_references())


def add_missing(config: ConfigDict) -> ConfigDict:
    """`complete` in place: references stay, which say what else a key may become."""
    with config.unlocked():
        for key, value in NEW.items():
            *parents, last = key.split(".")
            block = config
            for parent in parents:
                block = None if block is None else block.get(parent)
            if block is not None:
                _fill(block, {last: value}, ".".join(parents))
        if config.get("model") and config.model.name in MODELS:
            name = config.model.name
            _fill(config.model, {name: {}}, "model")
            _fill(config.model[name], MODELS[name], f"model.{name}")
        for name, block in config.get("loss", {}).items():
            _fill(block, TERMS.get(name, {}), f"loss.{name}")
        if "augment" in config:
            _fill(config.augment, AUGMENT, "augment")
    return config


def _fill(block: Any, values: Mapping[str, Any], place: str) -> None:
    if not isinstance(block, ConfigDict):
        raise ConfigError(f"config.{place} is {block!r}; it is a block of settings.")
    for key, value in values.items():
        if key not in block:
            block[key] = value


def effective(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a run depends on: without models, samplers and terms that it does not use.

    Two configs that give the same run are equal here, however many keys they have.
    """
    out = complete(ConfigDict(config)).to_dict()
    for kind in ("model", "sampler", "target", "decision"):
        block = out.get(kind) or {}
        if "name" not in block:
            continue
        used = "fields" if "." in block["name"] else block["name"]
        out[kind] = {
            key: value
            for key, value in block.items()
            if key == used or not isinstance(value, dict)
        }
    terms = out.get("loss") or {}
    out["loss"] = {k: term for k, term in terms.items() if term["weight"] != 0}
    return out
