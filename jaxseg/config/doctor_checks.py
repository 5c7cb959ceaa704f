"""The checks of `python -m jaxseg.doctor` by name, so that a config can name them.

Here and not in jaxseg/doctor/, because a wrong name is answered before JAX starts.
"""

from typing import Any

from ml_collections import ConfigDict

from jaxseg import lookup
from jaxseg.errors import ConfigError

# read the data card, the index and the config; at the start of every training
FAST = (
    "class_support",
    "prevalence",
    "label_values",
    "unlabelled",
    "group_leak",
    "duplicates",
    "image_scale",
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
    "shortcut",
    "foreground_windows",
    "value_range",
    "co_transform",
    "loss_terms",
    "gradients",
    "memory",
)
DEEP = ("overfit_one_batch",)
# of masks: not asked of a run that learns classes of whole images alone
OF_PIXELS = ("class_support", "label_values", "unlabelled", "foreground_windows")
ALL = FAST + FULL + DEEP
# an error of one of these is one of the data, any other one of the config
OF_DATA = FAST[:6] + FULL[:4]


def options(config: ConfigDict) -> dict[str, Any]:
    """The block config.doctor; ConfigError for a wrong name or number."""
    block = config.doctor.to_dict()
    ignored = block["ignore"]
    block["ignore"] = (ignored,) if isinstance(ignored, str) else tuple(ignored)
    for name in block["ignore"]:
        if name not in ALL:
            raise ConfigError(
                f"config.doctor.ignore has no check {name!r}: {lookup.hint(name, ALL)}"
            )
    if block["steps"] < 1:
        raise ConfigError(
            f"config.doctor.steps is {block['steps']}; it must be at least 1."
        )
    if block["prevalence"] > 1:
        raise ConfigError(
            f"config.doctor.prevalence is {block['prevalence']}; give the share of "
            "positive images, from 0 to 1, or -1 for unknown."
        )
    return block
