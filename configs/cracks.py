"""SegDecNet on cracks: is there one, and where, from labels of images and a few masks.

    python -m jaxseg.main --config=configs/cracks.py
    python -m jaxseg.main --config=configs/cracks.py --config.supervision.masks=0.1
    python -m jaxseg.sweep --config=configs/cracks.py --workdir=runs/masks

`:demo` draws concrete with and without cracks, small enough for five minutes on two CPU
cores: one seed gave Dice 0.704 [0.632, 0.762] on 60 test images, 30 with a crack.
`:full` is the published SegDecNet on the crack collection (sccdnet) in
`config.data.dir`, `:plusplus` its decoder; `:ksdd2`, `:dagm`, `:severstal` (3,000
masks) are the benchmarks of Bozic et al., 2021, https://arxiv.org/abs/2104.06064.
None of these five was run here. `:smoke` is two steps. Without a word it is `full`
where $JAXSEG_DATA holds such a folder, else `demo`.

`config.supervision.masks` is the share of positives that keep their masks. Segmentation
weighs 1 - e / E in epoch e of E, the decision delta e / E. Without any mask use
`:NAME_weak`: constant weights, and a decision that teaches the whole network. The sweep
trains 0, 5, 10, 25 and 100 % of the masks, three seeds each, of `:demo` or `:plusplus`.
"""

import os

from ml_collections import ConfigDict

from jaxseg.config import base

MASKS = (0.0, 0.05, 0.1, 0.25, 1.0)
LAMBDA = ("staircase", 1.0, 0.0)  # 1 - e / E


def get_config(arg: str = "") -> ConfigDict:
    """The recipe `arg`, of VARIANTS or its weak form; "" decides by the data."""
    c = base.base()
    c.name = "cracks"
    c.epochs = 50
    c.batch_size = c.per_device_batch = 1
    c.data.update(name="sccdnet", image_size=(640, 232), fit="stretch", workers=2)
    c.data.dir = os.environ.get("JAXSEG_DATA", "")
    c.supervision.update(name="mixed", masks=1.0)
    c.sampler.name = "frequency"
    c.model.name, c.decision.name = "segdecnet", "segdec"
    c.loss.coarse_cross_entropy.update(weight=LAMBDA, power=0.0)
    c.loss.image_cross_entropy.weight = ("staircase", 0.0, 0.01)  # delta e / E
    # plain SGD at one rate, which the feature norm bears
    c.optim.update(name="sgd", learning_rate=1.0, momentum=0.0, weight_decay=0.0)
    c.optim.update(warmup_epochs=0.0, final_scale=1.0, clip_norm=0.0)
    # logits at 1/8 are seldom above 0.5, so the best epoch is chosen by the decision
    c.eval.update(every_epochs=5, per_device_batch=8, metric="image_average_precision")
    default = "full" if _is_collection(c.data.dir) else "demo"
    variants = VARIANTS | {f"{name}_weak": VARIANTS[name] for name in VARIANTS}
    base.variant(c, arg, variants, default=default, why="by the data present")
    if (name := c.recipe.removesuffix("_weak")) in ("ksdd2", "dagm", "severstal"):
        c.data.name = name
    c.update(SMOKE if name == "smoke" else {})
    if name != c.recipe:
        weak = WEAK_MASKS if c.model.segdecnet.decoder else WEAK_COARSE
        c.update_from_flattened_dict(WEAK | weak | {"supervision.masks": 0.0})
    return c


def get_sweep(seeds: int = 3) -> dict[str, dict]:
    """{member: what it changes}: five shares of masks, `seeds` times each."""
    return {
        f"masks{share:g}-seed{seed}": {"supervision.masks": share, "seed": seed}
        | (WEAK | WEAK_MASKS if share == 0 else {})
        for seed in range(seeds)
        for share in MASKS
    }


def _is_collection(folder: str) -> bool:
    parts = (os.path.join(folder, f) for f in ("train/images", "train_positive"))
    return bool(folder) and any(map(os.path.isdir, parts))


def _benchmark(size, dilate, epochs, rate, delta, batch, p, w_max) -> dict:
    mask = {"dilate": dilate, "power": p, "w_max": w_max}
    decision = {"weight": ("staircase", 0.0, delta)}
    out = {"epochs": epochs, "batch_size": batch, "optim": {"learning_rate": rate}}
    out["loss"] = {"coarse_cross_entropy": mask, "image_cross_entropy": decision}
    return out | {"data": {"image_size": size}}


WEAK = {
    f"decision.segdec.{part}_multiplier": 1.0
    for part in ("features", "maximum", "average")
} | {"loss.image_cross_entropy.weight": 1.0, "optim.learning_rate": 0.01}
# the empty masks of negatives; a Dice of them would only say "nothing anywhere"
WEAK_MASKS = {"loss.distance_cross_entropy.weight": 1.0, "loss.dice_batch.weight": 0.0}
WEAK_COARSE = {"loss.coarse_cross_entropy.weight": 1.0}
PLUSPLUS = {
    "eval": {"metric": "dice_pooled"},
    "model": {"segdecnet": {"decoder": True}},
    "loss": {
        "coarse_cross_entropy": {"weight": 0.0},
        "distance_cross_entropy": {"weight": LAMBDA, "power": 0.0},
    },
}
_SMALL = {"widths": (8, 16, 16, 64), "repeats": (1, 2, 2, 1), "kernel": 3}
_SMALL |= {"decoder_widths": (8, 8, 8), "decoder_repeats": (1, 1, 1), "top_kernel": 7}
DEMO = {
    "epochs": 20,
    "batch_size": 4,
    "data": {"dir": "", "image_size": (128, 128), "workers": 0}
    | {"demo": {"images": 240, "size": 128}},
    "model": {"segdecnet": {**_SMALL, "decoder": True, "mask_shift": True}},
    "eval": PLUSPLUS["eval"],
    "loss": {**PLUSPLUS["loss"], "dice_batch": {"weight": 1.0}}
    | {"image_cross_entropy": {"weight": ("staircase", 0.0, 0.1)}},
    # in so few steps the published rate does not find thin cracks
    "optim": {"learning_rate": 0.1, "momentum": 0.9, "final_scale": 0.0}
    | {"clip_norm": 1.0, "warmup_epochs": 1.0},
}
SMOKE = {  # on top of DEMO
    "epochs": 1,
    "steps_per_epoch": 2,
    "data": {"image_size": (32, 32), "demo": {"images": 16, "size": 64}},
    "model": {"segdecnet": {"widths": (4, 4, 6, 8), "repeats": (1,) * 4}},
    "eval": {"every_epochs": 1, "bootstrap": 50},
}
VARIANTS = {
    "demo": DEMO,
    "smoke": DEMO,
    "full": {},
    "plusplus": PLUSPLUS,
    # size, dilate, epochs, rate, delta, batch, p, w_max: the published table
    "ksdd2": _benchmark((640, 232), 15, 50, 0.01, 1.0, 1, 2.0, 3.0),
    "dagm": _benchmark((512, 512), 7, 70, 0.05, 1.0, 1, 1.0, 10.0),
    "severstal": _benchmark((256, 1600), 1, 40, 0.1, 0.1, 10, 2.0, 1.0),
}
