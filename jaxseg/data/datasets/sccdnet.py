"""Prepares photographs of cracks in concrete and asphalt, in either of two layouts.

    SCCDNet-corrected/                        crack_segmentation/
      train/images/<id>.<ext>                   train_positive/<id>.<ext>
      train/masks/<id>.<ext>                    train_positive/<id>_GT.<ext>
      test/images/...  test/masks/...           train_negative/<id>.<ext>
      validation/...             (optional)     {val,test}_{positive,negative}/...
      splits/split_<name>.txt    (optional)
      image_level.txt            (optional)     image_level.txt (optional)

CFD, CRACK500, CrackTree200, DeepCrack, GAPs384, Rissbilder and images without a crack;
use the corrected release, because the first one has wrong masks of Rissbilder. SCCDNet:
A Pixel-Level Crack Segmentation Network, 2021, https://doi.org/10.3390/app11115074

Left, an image is positive when its mask has a pixel above half of the range. Right, the
folder says it; a negative needs no mask. `image_level.txt` names the positives that
have a label and no mask, one file name a line; any other positive without a mask is an
error. Lists split_train.txt, split_validation.txt (or split_val.txt) and split_test.txt
of file names replace the folders of an image; lists of other names are passed over.
Nothing is written there.
"""

import functools
import os
import pathlib

import tensorflow_datasets as tfds

from jaxseg.data.datasets import _defect_source, _sccdnet_source
from jaxseg.data.files.listing import raise_all
from jaxseg.data.phantoms import cracks_tree
from jaxseg.data.preparation import build_once, tfds_builder
from jaxseg.errors import ConfigError

CLASSES = ("background", "crack")
write_demo = cracks_tree.write  # phantom cracks in the layout that `prepare` reads


class Builder(tfds_builder.Builder):
    """The data set as TFDS stores it; `prepare` makes it from the raw files."""

    name = "sccdnet"
    VERSION = tfds.core.Version("1.0.0")


def prepare(
    source: str | os.PathLike,
    data_dir: str | os.PathLike,
    *,
    progress: bool = True,
    validation: float = 0.2,
    seed: int = 0,
    duplicates: str = "refuse",
) -> pathlib.Path:
    """The directory of the prepared data set, made from the raw files in `source`.

    Returns at once when it is there already, made from the same files with the same
    options. Without a validation split in the files, `validation` is the share of train
    that becomes one, stratified by label and area. An image in two splits under two
    names is an error, or counted with `duplicates` "count". Raises DataError with all
    problems of the folder at once, and ConfigError for options that cannot be used.
    """
    if duplicates not in ("refuse", "count"):
        raise ConfigError(
            f"duplicates is {duplicates!r}; allowed are 'refuse' and 'count'."
        )
    if not 0 < validation < 1:
        raise ConfigError(
            f"validation={validation} must be a share of train between 0 and 1, for "
            "example 0.2."
        )
    source = pathlib.Path(source).expanduser()
    sources, layout = _sccdnet_source.find(source)
    options = {"layout": layout, "validation": validation, "seed": seed}
    options |= {"duplicates": duplicates}
    build = functools.partial(
        _build, sources, source, options=options, progress=progress
    )
    files = {name for one in sources for name in one.files}
    return build_once.once(
        Builder,
        source=source,
        files=sorted(files | _sccdnet_source.lists(source)),
        data_dir=data_dir,
        options=options,
        build=build,
    )


def _build(
    sources: list[_defect_source.Source],
    root: pathlib.Path,
    part: pathlib.Path,
    *,
    options: dict,
    progress: bool,
) -> pathlib.Path:
    one = functools.partial(_defect_source.example, root)
    rows = _defect_source.rows(sources, root, part, one=one, progress=progress)
    rule = "as given"
    if not any(row["split"] == "validation" for row in rows):
        rule = _defect_source.divide_train(rows, options)
    twice = _defect_source.in_two_splits(rows)
    if twice and options["duplicates"] == "refuse":
        advice = "remove one of each pair, or set duplicates=count."
        raise_all(root, [*twice, advice])
    odd = sum(bool(row["height"] % 8 or row["width"] % 8) for row in rows)
    pixels = sum(row["height"] * row["width"] for row in rows)
    counts = {
        "images_in_two_splits": len(twice),
        "masks_with_grey_pixels": sum(row["grey"] > 0 for row in rows),
        "images_with_sides_not_divisible_by_8": odd,
    }
    _defect_source.warn(root, counts)
    grey = sum(row["grey"] for row in rows) / pixels
    return _defect_source.store(
        Builder,
        rows,
        part,
        classes=CLASSES,
        root=root,
        rule=rule,
        options=options,
        extra={**counts, "share_of_grey_mask_pixels": grey},
    )
