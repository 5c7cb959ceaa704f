"""What can be wrong with config.supervision and be said before JAX starts."""

import os

from ml_collections import ConfigDict

from jaxseg.data import mask_share
from jaxseg.errors import ConfigError


def check(config: ConfigDict) -> None:
    """Raises ConfigError for files that are not there, and labels without effect."""
    block = config.supervision
    if block.name == "stored" and not block.paths:
        raise ConfigError(
            "config.supervision.paths is empty; name the supervision.npz of a run."
        )
    for path in block.paths:
        if not os.path.exists(path):
            raise ConfigError(
                f"config.supervision.paths names {path}, which does not exist."
            )
    if block.name == "mixed":
        mask_share.check(block.masks, block.paths)
    _fit(config)


def _fit(config: ConfigDict) -> None:
    """ConfigError for windows and scales that lose what is labelled."""
    data, block = config.data, config.supervision
    if data.pixel_size and block.name not in ("full", "mixed"):
        raise ConfigError(
            f"config.data.pixel_size is {data.pixel_size:g}, which needs full "
            f"masks, but config.supervision.name is {block.name!r}: "
            "single labelled pixels do not survive resizing; set pixel_size=0."
        )
    crop = data.fit == "crop" or bool(data.pixel_size)
    none = block.name == "mixed" and not block.paths and block.masks == 0
    if crop and (none or block.name == "image_level"):
        which = "'image_level'" if not none else "'mixed' without a mask (masks=0)"
        what = "data.fit is 'crop'" if data.fit == "crop" else "data.pixel_size is set"
        raise ConfigError(
            f"config.{what}, but config.supervision.name is {which}: "
            "the label of an image says nothing of a window in it; use 'stretch' or "
            "'pad'."
        )
