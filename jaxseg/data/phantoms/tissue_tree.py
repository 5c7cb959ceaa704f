"""Writes phantom tissue as a user's folder: images/, masks/, classes.txt, splits.csv.

Images are colour PNG files; masks are PNG files of class ids.
"""

import csv
import os

import numpy as np
from absl import logging
from PIL import Image

from jaxseg.data.phantoms import _whole_folder, tissue
from jaxseg.errors import ConfigError

_TURN = ("train", "train", "train", "validation", "test")  # of consecutive images
_VARIED = (0.75, 1.5)  # sides of images of varied sizes, times `size`


def write(
    directory: str | os.PathLike,
    *,
    images: int,
    size: int = 128,
    seed: int = 0,
    varied: bool = False,
) -> None:
    """Write `images` phantom sections of size x size pixels to `directory`.

    One image in five is for validation and one for test. With `varied` height and
    width are drawn apart, from 3/4 to 3/2 of `size`, at the same scale. The tree is a
    pure function of the arguments. It appears under its name only when it is complete.
    Raises DataError when `directory` exists already, ConfigError for fewer than five
    images, a negative seed, or a size that `tissue` cannot draw.
    """
    if images < len(_TURN) or seed < 0:
        raise ConfigError(
            f"A tree of {images} images with seed {seed} cannot be written: at least "
            f"{len(_TURN)} images and a seed of 0 or more are needed."
        )
    with _whole_folder.folder(directory, what="phantom sections") as partial:
        for name in ("images", "masks"):
            (partial / name).mkdir(parents=True)
        rows = []
        for index in range(images):
            stem = f"{index:05}"
            shape = _shape(index, size, seed) if varied else (size, size)
            image, mask = tissue.draw(index, size=shape, seed=seed)
            Image.fromarray(image).save(partial / "images" / f"{stem}.png")
            Image.fromarray(mask).save(partial / "masks" / f"{stem}.png")
            rows.append((stem, _TURN[index % len(_TURN)]))
        (partial / "classes.txt").write_text("\n".join(tissue.CLASSES) + "\n")
        with open(partial / "splits.csv", "w", newline="") as file:
            csv.writer(file).writerows([("stem", "split"), *rows])
    logging.info("Wrote %d phantom sections to %s.", images, directory)


def _shape(index, size, seed):
    rng = np.random.default_rng((seed, index, 1))
    return tuple(int(side) for side in np.rint(size * rng.uniform(*_VARIED, 2)))
