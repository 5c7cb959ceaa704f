"""Writes phantom beads as the tree of the microbead study: images/ and masks/.

And instances/, the number of the bead of each pixel. All are TIFF files of the same
name; images carry the size of a pixel in the tags of ImageJ. Masks hold 0 and 255.
"""

import os

import numpy as np
import tifffile
from absl import logging

from jaxseg.data.phantoms import _whole_folder, beads
from jaxseg.errors import ConfigError

_FEWEST = 5  # images: each of three splits needs one


def write(
    directory: str | os.PathLike, *, images: int, size: int = 256, seed: int = 0
) -> None:
    """Write `images` phantom micrographs of size x size pixels to `directory`.

    Splits are not written: they are made by the number of beads an image. The tree is a
    pure function of the arguments. It appears under its name only when it is complete.
    Raises DataError when `directory` exists already, ConfigError for fewer than five
    images, a negative seed, or a size that `beads` cannot draw.
    """
    if images < _FEWEST or seed < 0:
        raise ConfigError(
            f"A tree of {images} images with seed {seed} cannot be written: at least "
            f"{_FEWEST} images and a seed of 0 or more are needed."
        )
    with _whole_folder.folder(directory, what="phantom beads") as partial:
        for name in ("images", "masks", "instances"):
            (partial / name).mkdir(parents=True)
        for index in range(images):
            picture = beads.draw(index, size=size, seed=seed)
            file = f"{index:05}.tif"
            mask = 255 * (picture.instances > 0).astype(np.uint8)
            tifffile.imwrite(
                partial / "images" / file,
                picture.image,
                imagej=True,
                resolution=(1 / picture.pixel_size,) * 2,
                metadata={"unit": "um"},
            )
            plain = {"metadata": None, "compression": "zlib"}
            tifffile.imwrite(partial / "masks" / file, mask, **plain)
            tifffile.imwrite(partial / "instances" / file, picture.instances, **plain)
    logging.info("Wrote %d phantom micrographs to %s.", images, directory)
