"""Checks what the splits of a data set must hold, before anything is trained."""

from collections.abc import Iterable

import numpy as np

from jaxseg.data import pipeline, prepared
from jaxseg.errors import ConfigError, DataError
from jaxseg.types import Target


def pixel_sizes(splits: Iterable[prepared.Split], view: pipeline.View) -> None:
    """DataError when images shall get a pixel size and some do not say theirs."""
    for split in splits if view.pixel_size else ():
        missing = np.flatnonzero(np.isnan(split.pixel_sizes))
        if len(missing):
            raise DataError(
                f"config.data.pixel_size is {view.pixel_size:g} micrometres, but "
                f"{len(missing)} of {len(split)} images of {split.name} do not say how "
                f"large their pixels are, such as {split.ids[missing[0]]!r}: use files "
                "that do (DICOM, OME-TIFF, ImageJ) and prepare them again, or set "
                "config.data.pixel_size=0."
            )


def labels(split: prepared.Split, *, pixels: bool = True) -> None:
    """ConfigError when a split that must be scored holds no label to score it by.

    That is a labelled pixel or, without `pixels`, a known class of a whole image.
    """
    if not pixels:
        if split.image_classes is not None and not np.any(split.image_classes >= 0):
            raise ConfigError(
                f"the {split.name} split has no image of known class; it cannot be "
                "scored."
            )
        return
    if not np.any(split.pixels):
        raise ConfigError(
            f"the {split.name} split has no labelled pixel; it cannot be scored."
        )


def rays(target: Target, splits: Iterable[prepared.Split], view: pipeline.View) -> None:
    """ConfigError where images are scaled so that rays would point elsewhere.

    The rays of a target are lengths in pixels that the network sees. Native scale keeps
    their directions, as images that have the size of the view do.
    """
    if not target.ray_length or view.fit == "crop":
        return
    for split in splits:
        other = np.flatnonzero(np.any(split.sizes != np.array(view.size), axis=1))
        if len(other):
            height, width = split.sizes[other[0]]
            raise ConfigError(
                f"config.target.name is {target.name!r}, whose rays need images at "
                f"native scale, but config.data.fit brings {split.ids[other[0]]!r} of "
                f"{height}x{width} pixels to {view.size[0]}x{view.size[1]}: set "
                "config.data.fit='crop'."
            )
