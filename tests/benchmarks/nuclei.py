"""Four ways to learn objects, on real nuclei: classes, borders, distances and stars.

    python tests/support/real_images.py my_nuclei acquisition
    python -m jaxseg.sweep --config=tests/benchmarks/nuclei.py \
        --config.data.dir=my_nuclei --workdir=runs/nuclei

trains the U-Net of `configs/microbeads.py:demo` on two acquisitions of BBBC007 with
each target of jaxseg/targets/ that learns objects, three seeds each, and finds the
nuclei of the third acquisition by the rule that belongs to the target. Every report
has the scores of objects beside those of Otsu and watershed.
"""

import pathlib
from typing import Any

from ml_collections import ConfigDict

from jaxseg.config import recipe_file

ROOT = pathlib.Path(__file__).parents[2]
TARGETS: dict[str, dict[str, Any]] = {
    "classes": {},
    "border": {
        "target.name": "border",
        "objects.rule": "border",
        "loss.focal.weight": 0.0,
        "loss.cross_entropy.weight": 0.3,
        "loss.cross_entropy.class_weights": (1.0, 1.0, 3.0),
    },
    "distance": {"target.name": "distance", "loss.distance.weight": 1.0},
    "star": {
        "target.name": "star",
        "objects.rule": "star",
        "loss.object_probability.weight": 1.0,
        "loss.star_rays.weight": 0.1,
    },
}


def get_config(arg: str = "") -> ConfigDict:
    """The recipe of the beads; `arg` is one of its variants, demo without one."""
    c = recipe_file.module(ROOT / "configs" / "microbeads.py").get_config(arg or "demo")
    c.name = "nuclei"
    c.data.update(name="image_folder", dir="")
    c.data.demo.images = 0
    return c


def get_sweep(seeds: int = 3) -> dict[str, dict[str, Any]]:
    """{member: what it changes}: every target, `seeds` times."""
    return {
        f"{target}-seed{seed}": {**changes, "seed": seed}
        for seed in range(seeds)
        for target, changes in TARGETS.items()
    }
