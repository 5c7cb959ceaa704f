"""Writes phantom cells as the raw tree of the click study: train/ and test/.

Images are JPEG files as the study has them, labels grey PNG files of 0 and 255.
"""

import os

from absl import logging
from PIL import Image

from jaxseg.data.phantoms import _whole_folder, cells
from jaxseg.errors import ConfigError

_QUARTER = 4  # one image in four is for test
_JPEG_QUALITY = 95


def write(
    directory: str | os.PathLike, *, images: int, size: int = 128, seed: int = 0
) -> None:
    """Write `images` phantom cultures of size x size pixels to `directory`.

    A quarter of them is for test. The tree is a pure function of the arguments. It
    appears under its name only when it is complete. Raises DataError when `directory`
    exists already, ConfigError for fewer than four images, a negative seed, or a size
    that `cells` cannot draw.
    """
    if images < _QUARTER or seed < 0:
        raise ConfigError(
            f"A tree of {images} images with seed {seed} cannot be written: at least "
            f"{_QUARTER} images and a seed of 0 or more are needed."
        )
    with _whole_folder.folder(directory, what="phantom cells") as partial:
        for index in range(images):
            split = "test" if index % _QUARTER == _QUARTER - 1 else "train"
            _write_pair(partial / split, index, size=size, seed=seed)
    logging.info("Wrote %d phantom cultures to %s.", images, directory)


def _write_pair(folder, index, *, size, seed):
    image, mask = cells.draw(index, size=size, seed=seed)
    paths = folder / "images" / f"{index:05}.jpg", folder / "labels" / f"{index:05}.png"
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(paths[0], quality=_JPEG_QUALITY)
    Image.fromarray(mask * 255).save(paths[1])
