"""The checks of `python -m jaxseg.doctor` by name, so that a config can name them.

Here and not in jaxseg/doctor/, because a wrong name is answered before JAX starts.
"""

import difflib

from ml_collections import ConfigDict

from jaxseg.errors import ConfigError

# read the card, the index and the config; at the start of every training
FAST = (
    "class_support",
    "prevalence",
    "label_values",
    "unlabelled",
    "group_leak",
    "duplicates",
    "total_steps",
    "batch_size",
    "learning_rate",
    "loss_weights",
    "sampling_share",
    "supervision",
)
# read every image, and take the first steps
FULL = (
    "unreadable",
    "constant_images",
    "near_duplicates",
    "value_range",
    "co_transform",
    "loss_terms",
    "gradients",
    "memory",
)
DEEP = ("overfit_one_batch",)
ALL = FAST + FULL + DEEP
# what is wrong with one of these is wrong with the data, else with the config
OF_DATA = FAST[:6] + FULL[:3]

# the block config.doctor; runs of before have none
DEFAULTS = {"ignore": (), "prevalence": -1.0, "steps": 100}


def options(config: ConfigDict) -> dict:
    """The block config.doctor, with what it lacks; ConfigError for what is wrong."""
    found = DEFAULTS | dict(config.get("doctor", {}))
    ignored = found["ignore"]
    found["ignore"] = (ignored,) if isinstance(ignored, str) else tuple(ignored)
    for name in found["ignore"]:
        if name not in ALL:
            near = difflib.get_close_matches(name, ALL, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"choose of {[*ALL]}."
            raise ConfigError(f"config.doctor.ignore has no check {name!r}: {hint}")
    if found["steps"] < 1:
        raise ConfigError(
            f"config.doctor.steps is {found['steps']}; it must be at least 1."
        )
    if found["prevalence"] > 1:
        raise ConfigError(
            f"config.doctor.prevalence is {found['prevalence']}; give the share of "
            "positive images, from 0 to 1, or -1 for unknown."
        )
    return found
