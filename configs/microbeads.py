"""Three U-Nets on micrographs of beads: many small objects, at native scale.

    python -m jaxseg.main --config=configs/microbeads.py:attention_unet \
        --config.data.dir=dataset_microscope
    python -m jaxseg.sweep --config=configs/microbeads.py --workdir=runs/microbeads

`:unet`, `:attention_unet` and `:attention_resunet` are the three networks of the bead
study with its recipe: Adam 1e-4 that halves on a plateau, batch 32, dropout 0.3, 0.7
Dice + 0.3 focal, windows of 256x256; not run here. Their data are images/ and masks/
in `config.data.dir`, as jaxseg/data/datasets/microbeads.py says. `:demo` draws its own
beads, 20 to 300 an image, for two CPU cores: 240 steps of a small U-Net,
Dice 0.969 [0.963, 0.974] on 13 test images, where a global threshold gets 0.422.
`:smoke` is two steps. Without a word it is `unet` where $JAXSEG_DATA holds such a
folder, else `demo`. The sweep runs the three networks with three seeds each.
"""

import os

from ml_collections import ConfigDict

from jaxseg.config import base

MODELS = ("unet", "attention_unet", "attention_resunet")


def get_config(arg: str = "") -> ConfigDict:
    """The recipe `arg`: a network, demo or smoke; "" decides by the data there is."""
    c = base.base()
    c.name = "microbeads"
    c.epochs = 100
    c.steps_per_epoch = 25  # 2,500 steps; the study's 63 epochs were 63 steps
    c.batch_size = 32
    c.data.update(name="microbeads", fit="crop", workers=2)
    c.augment.update(
        flip_horizontal=0.5,
        flip_vertical=0.5,
        rotate_degrees=180.0,
        scale=(0.85, 1.15),
        shift=0.2,
        border="reflect",
        brightness=0.1,
        contrast=0.2,
        noise=0.02,
    )
    for name in MODELS:  # the layers of the study, but for a norm behind the head
        c.model[name].update(dropout=0.3, up="nearest", conv_bias=True)
    c.model.attention_unet.gate_conv = c.model.attention_resunet.gate_conv = True
    c.loss.dice_batch.update(weight=0.7, smooth=1e-6)
    c.loss.focal.weight = 0.3
    c.optim.update(learning_rate=1e-4, weight_decay=0.0, warmup_epochs=0.0)
    c.optim.update(schedule="plateau", clip_each=True)
    c.eval.update(metric="iou_pooled", patience=20)
    c.operating_point.objective = "iou_pooled"
    c.objects.rule = "watershed"  # its settings by F1 at an IoU of 0.5, on validation
    directory = _directory(os.environ.get("JAXSEG_DATA", ""))
    real = {"data": {"dir": directory}}
    variants = {name: real | {"model": {"name": name}} for name in MODELS}
    variants |= {"demo": DEMO, "smoke": DEMO}
    default = "unet" if directory else "demo"
    base.variant(c, arg, variants, default=default, why="by the data present")
    if c.recipe == "smoke":
        c.update(SMOKE)
    return c


def get_sweep(seeds: int = 3) -> dict[str, dict]:
    """{member: what it changes}: the three networks, `seeds` times each."""
    return {
        f"{name}-seed{seed}": {"model.name": name, "seed": seed}
        for seed in range(seeds)
        for name in MODELS
    }


def _directory(folder: str) -> str:
    """The folder, or dataset_microscope/ in it, that holds images/; "" without one."""
    for path in (folder, os.path.join(folder, "dataset_microscope")):
        if folder and os.path.isdir(os.path.join(path, "images")):
            return path
    return ""


DEMO = {
    "epochs": 16,
    "steps_per_epoch": 15,
    "batch_size": 8,
    "data": {
        "image_size": (96, 96),
        "overlap": 0.25,
        "workers": 0,
        "demo": {"images": 64, "size": 256},
    },
    "model": {name: {"widths": (12, 24, 48, 96), "dropout": 0.1} for name in MODELS},
    "optim": {
        "learning_rate": 3e-3,
        "warmup_epochs": 1.0,
        "schedule": "cosine",
        "clip_each": False,
    },
    "eval": {"every_epochs": 4, "per_device_batch": 8},
}
SMOKE = {  # on top of DEMO
    "epochs": 1,
    "steps_per_epoch": 2,
    "batch_size": 4,
    "data": {"image_size": (32, 32), "demo": {"images": 12, "size": 64}},
    "model": {name: {"widths": (4, 6, 8)} for name in MODELS},
    "eval": {"every_epochs": 1, "bootstrap": 50},
}
