"""Swin-UPerNet on a folder of your own: images/ and masks/, matched by file name.

    python -m jaxseg.main --config=configs/folder.py --config.data.dir=my_images \
        --workdir=runs/mine

Made for a few dozen images on a CPU. On the 14 fluorescence images of BBBC007, 8 of
them to train on, three seeds of 800 steps, 12 minutes each on one core, gave
Dice 0.962 [0.955, 0.969] on 3 test images, and a global threshold 0.937. The folder is
checked as a whole and prepared in $JAXSEG_CACHE at the first start, and again when it
changes; nothing is written into it. jaxseg/data/datasets/image_folder.py says what may
lie there.

`:auto` chooses its settings from the data and the machine, as
jaxseg/config/auto_rules.py says; `:demo` draws phantom tissue of five classes, the
rarest 0.3 % of the pixels; `:smoke` is two steps.
"""

from ml_collections import ConfigDict

from jaxseg.config import base


def get_config(arg: str = "") -> ConfigDict:
    """The recipe `arg`: full (also ""), auto, demo or smoke."""
    c = base.base()
    c.name = "folder"
    c.epochs = 400  # of 8 training images these are 800 steps
    c.batch_size = 4
    # mask_format is auto, class_ids, binary or instances
    c.data.options = {"mask_format": "auto", "allow_unlabelled": False}
    c.augment.update(
        flip_horizontal=0.5,
        rotate_degrees=15.0,
        scale=(0.8, 1.25),
        shift=0.1,
        brightness=0.1,
        contrast=0.2,
        gamma=0.2,
        noise=0.02,
        elastic_probability=0.0,
    )
    c.model.name = "swin_upernet"
    c.model.swin_upernet.update(
        embed_dim=16,
        depths=(2, 2, 2, 2),
        num_heads=(1, 2, 4, 8),
        window=8,
        width=24,
        aux_channels=16,
        drop_path=0.1,
    )
    c.loss.dice_batch.weight = 1.0
    c.loss.cross_entropy.update(weight=1.0, class_weights="sqrt")
    c.optim.update(learning_rate=2e-3, warmup_epochs=10.0)
    c.eval.every_epochs = 10
    c.operating_point.min_areas = (0.0, 0.0001, 0.0005, 0.002)
    return base.variant(c, arg, {**VARIANTS, "smoke": SMOKE})


VARIANTS = {
    "full": {},
    "auto": {"auto": {"on": True}},
    "demo": {
        "epochs": 40,
        "data": {"image_size": (128, 128), "demo": {"images": 120, "size": 128}},
    },
}
SMOKE = {
    "epochs": 1,
    "data": {"image_size": (64, 64)},
    "model": {
        "swin_upernet": {
            "embed_dim": 8,
            "depths": (1, 1, 1, 1),
            "num_heads": (1, 1, 2, 2),
            "width": 8,
            "aux_channels": 8,
        }
    },
    "eval": {"bootstrap": 50},
}
