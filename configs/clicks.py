"""U-Net from clicks: how many labelled pixels an image does one need?

    python -m jaxseg.main --config=configs/clicks.py:10+50
    python -m jaxseg.sweep --config=configs/clicks.py --workdir=runs/clicks

`:P+N` is P clicks on cells and N on background in every training image, `:masks` the
full masks, `:smoke` two steps. Data: phase-contrast cells in `config.data.dir` (default
$JAXSEG_DATA), and the published settings; without it phantom cells, drawn here, and a
U-Net small enough for two CPU cores. The sweep runs nine budgets and the full masks,
each with three seeds: 20 to 26 minutes, Dice 0.922 [0.914, 0.930] from 5+5, 0.949
[0.945, 0.954] from 10+50 and 0.970 [0.966, 0.973] from full masks; a global threshold
gets 0.583.
"""

import os
import re

from ml_collections import ConfigDict

from jaxseg.config import base

BUDGETS = ("5+5", "10+10", "20+20", "10+50", "30+30", "50+10", "50+50")
BUDGETS += ("300+300", "500+500")


def get_config(arg: str = "") -> ConfigDict:
    """The recipe `arg`: P+N, masks or smoke; "" is 10+10."""
    c = base.base()
    c.name = "clicks"
    c.epochs = 40
    c.batch_size = c.per_device_batch = 6
    c.data.update(name="phc", dir=os.environ.get("JAXSEG_DATA", ""))
    c.data.fit = "stretch"  # so that budgets train together: all see the same images
    c.supervision.name = "clicks"
    c.sampler.seed = 0  # one order of images for all members of a sweep
    # clicks move with the image, one pixel to one pixel
    c.augment.update(
        flip_horizontal=0.5, flip_vertical=0.5, brightness=0.05, contrast=0.1
    )
    c.aux_weight = 0.0
    c.loss.partial_cross_entropy.weight = 1.0
    c.optim.update(learning_rate=5e-4, weight_decay=0.0)
    c.eval.per_device_batch = 8
    if not c.data.dir or arg == "smoke":
        c.update(PHANTOMS)
    budget = arg if re.fullmatch(r"\d+\+\d+", arg) else "10+10"
    variants = {name: {} for name in (*BUDGETS, budget, "masks")} | {"smoke": SMOKE}
    base.variant(c, arg, variants, default=budget)
    if arg != "smoke":
        c.update_from_flattened_dict(_budget(c.recipe))
    return c


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


PHANTOMS = {
    "data": {"image_size": (96, 96), "demo": {"images": 80, "size": 96}, "dir": ""},
    "epochs": 24,
    "batch_size": 8,
    "model": {"unet": {"widths": (12, 24, 48, 96)}},
    "optim": {"learning_rate": 3e-3},
    "eval": {"every_epochs": 4},
}
SMOKE = {  # on top of PHANTOMS
    "epochs": 1,
    "batch_size": 8,
    "data": {"image_size": (32, 32), "demo": {"images": 20, "size": 32}},
    "model": {"unet": {"widths": (4, 6, 8)}},
    "eval": {"bootstrap": 50},
}
