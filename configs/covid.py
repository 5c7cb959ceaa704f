"""COVID-19 on chest radiographs: segment it, classify it, or one after the other.

    python -m jaxseg.main --config=configs/covid.py:joint
    python -m jaxseg.main --config=configs/covid.py:joint_full \
        --config.data.dir=COVID-QU-Ex --config.pretrained.path=resnet50.safetensors
    python -m jaxseg.report runs/covid-segment runs/covid-regions --output=report

`:segment` learns background, lung and infection; `:regions` the lung, and infection in
it, as nested regions; `:classify` normal, COVID-19 or another pneumonia; `:joint` both
in one network; `:hybrid` classifies, and segments what validation's threshold lets by.

They draw 480 films of four scanners, all ways on the same, and take minutes on a core:
`:segment` gave Dice 0.707 [0.660, 0.754] of infection over three seeds, 96 test films.
`:NAME_full` is COVID-QU-Ex in `config.data.dir` with the study's ResNet-50, Adam 1e-4
and batches of 128 at 256x256; not run here. Published are, as means over images, IoU
0.8305 and Dice 0.8821 of infection and IoU 0.9611 of the lung (Tahir et al., 2021,
https://arxiv.org/abs/2103.07985). `:NAME_smoke` is two steps. Without a word it is
`segment_full` where $JAXSEG_DATA holds the tree, else `segment`.
"""

import os

from ml_collections import ConfigDict

from jaxseg.config import base


def get_config(arg: str = "") -> ConfigDict:
    """The recipe `arg`: one of WAYS, or NAME_full or NAME_smoke; "" decides by data."""
    c = base.base()
    c.name, c.epochs, c.batch_size = "covid", 20, 128
    c.data.update(name="covid_qu_ex", image_size=(256, 256), workers=2)
    c.data.dir = os.environ.get("JAXSEG_DATA", "")
    c.augment.flip_horizontal = 0.5
    c.augment.update(rotate_degrees=7.0, shift=0.05, brightness=0.1, contrast=0.2)
    c.model.name = "resnet_unet"
    c.loss.cross_entropy.update(weight=1.0, class_weights="sqrt")
    c.loss.dice_batch.weight = 1.0
    # the encoder learns from the third epoch of the infection subset on
    c.transfer.update(freeze=("encoder/*",), freeze_norm=("encoder/*",))
    c.transfer.frozen_until = 60
    c.optim.update(name="adamw", learning_rate=1e-4, weight_decay=0.0)
    c.optim.update(schedule="plateau", warmup_epochs=0.0)
    c.optim.plateau.update(factor=0.5, patience=5, min_rate=1e-7)
    c.eval.update(patience=10, per_device_batch=16)
    tree = os.path.join(c.data.dir, "Infection Segmentation Data")
    default = "segment_full" if c.data.dir and os.path.isdir(tree) else "segment"
    variants = {f"{way}{size}": WAYS[way] for way in WAYS for size in SIZES}
    variants["smoke"] = WAYS["segment"]
    base.variant(c, arg, variants, default=default, why="by the data present")
    size = c.recipe.rpartition("_")[2]
    if size != "full":
        c.update(DEMO)
        c.model.name = SMALL[c.model.name]
    if size == "smoke":
        c.update(SMOKE)
    return c


def get_stages() -> dict[str, dict]:
    """{stage: what it changes} of `:hybrid`, which is `:segment` but for the first."""
    infection = {"data": {"options": {"labels": "infection"}}}  # the lung is left out
    return {"classify": WAYS["classify"], "segment": infection}


_NO_PIXELS = {"cross_entropy": {"weight": 0.0}, "dice_batch": {"weight": 0.0}}
_HEAD = {"name": "pooled", "pooled": {"outputs": 0, "dropout": 0.2}}
_EVERY_FILM = {"options": {"subset": "both"}}  # those without infection masks too
WAYS = {
    "segment": {},
    "classify": {
        "data": _EVERY_FILM,
        "sampler": {"name": "by_image_class"},
        "model": {"name": "resnet_classifier"},
        "decision": _HEAD,
        "loss": {**_NO_PIXELS, "image_class_cross_entropy": {"weight": 1.0}},
        "eval": {"metric": "class_roc_auc_mean"},
    },
    "joint": {
        "data": _EVERY_FILM,
        "decision": _HEAD,
        "loss": {"image_class_cross_entropy": {"weight": 0.3}},
    },
    "regions": {
        "target": {"name": "regions"},
        "loss": {
            **_NO_PIXELS,
            "region_cross_entropy": {"weight": 1.0},
            "region_dice": {"weight": 1.0},
        },
    },
    "hybrid": {
        "two_stage": {
            "on": True,
            "image_class": "covid19",
            "pixel_class": "infection",
        }
    },
}
SIZES = ("", "_full", "_smoke")
SMALL = {"resnet_unet": "unet", "resnet_classifier": "resnet_classifier"}
DEMO = {
    "epochs": 30,
    "batch_size": 8,
    "data": {
        "dir": "",
        "image_size": (96, 96),
        "workers": 0,
        "demo": {"images": 480, "size": 128},
        **_EVERY_FILM,
    },
    "model": {
        "unet": {"widths": (12, 24, 48, 96)},
        "resnet_classifier": {"depth": 18, "width": 16},
    },
    "transfer": {"freeze": (), "freeze_norm": (), "frozen_until": 0},
    "optim": {"learning_rate": 3e-3, "schedule": "cosine", "warmup_epochs": 1.0},
    "eval": {"every_epochs": 5, "patience": 0},
}
SMOKE = {  # on top of DEMO
    "epochs": 1,
    "steps_per_epoch": 2,
    "batch_size": 4,
    "data": {"image_size": (32, 32), "demo": {"images": 24, "size": 64}},
    "model": {
        "unet": {"widths": (4, 6, 8)},
        "resnet_classifier": {"depth": 18, "width": 4},
    },
    "eval": {"every_epochs": 1, "bootstrap": 50},
}
