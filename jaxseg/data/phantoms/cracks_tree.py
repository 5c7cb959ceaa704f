"""Writes phantom cracks as the tree of the crack collection: train/ and test/.

Each has images/ and masks/ with the same file names. Images are colour PNG files, masks
hold 0 and 255; that of an image without a crack is 0 everywhere.
"""

import os

from absl import logging
from PIL import Image

from jaxseg.data.phantoms import _whole_folder, cracks
from jaxseg.errors import ConfigError

_TURN = ("train", "train", "train", "test")  # of consecutive positives, and negatives
_FEWEST = 16  # images: each split needs both kinds


def write(
    directory: str | os.PathLike,
    *,
    images: int,
    size: int = 128,
    seed: int = 0,
    positive: float = 0.5,
) -> None:
    """Write `images` phantom walls of size x size pixels to `directory`.

    `positive` is the share of images with a crack, exact to one image and spread evenly
    over them; a quarter of each kind is for test. The tree is a pure function of the
    arguments. It appears under its name only when it is complete. Raises DataError when
    `directory` exists already, ConfigError for fewer than 16 images, a negative seed, a
    share that is not between 0 and 1, or a size that `cracks` cannot draw.
    """
    if images < _FEWEST or seed < 0 or not 0 < positive < 1:
        raise ConfigError(
            f"A tree of {images} images with seed {seed} and a share {positive:g} of "
            f"positives cannot be written: at least {_FEWEST} images, a seed of 0 or "
            "more and a share between 0 and 1 are needed."
        )
    with _whole_folder.folder(directory, what="phantom cracks") as partial:
        for split in set(_TURN):
            for name in ("images", "masks"):
                (partial / split / name).mkdir(parents=True)
        counts = [0, 0]
        for index in range(images):
            has = int((index + 1) * positive + 1e-9) > int(index * positive + 1e-9)
            split = _TURN[counts[has] % len(_TURN)]
            counts[has] += 1
            image, mask = cracks.draw(index, size=size, seed=seed, positive=has)
            file = f"wall_{index:05}.png"
            Image.fromarray(image).save(partial / split / "images" / file)
            Image.fromarray(255 * mask).save(partial / split / "masks" / file)
    logging.info("Wrote %d phantom walls to %s.", images, directory)
