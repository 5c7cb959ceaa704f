"""Prepares a user's own images and masks: a folder, checked as a whole first.

    my_images/                    my_images/
      images/a.png ...              train/images/ ...       train/masks/ ...
      masks/a.png ...               validation/images/ ...  validation/masks/ ...
      splits.csv   (optional)       test/images/ ...        test/masks/ ...
      classes.txt  (optional)       classes.txt (optional)

An image and its mask have the same path below `images/` and `masks/`, without suffix;
that path is the id. Labels of whole images take the place of masks in two ways:

    my_images/                    my_images/
      good/a.png ...                images/a.png ...
      defect/b.png ...              masks/b.png ...  (optional, of any of the images)
      masks/b.png  (optional)       labels.csv       stem,label

Images in `good/` are background in every pixel. Those in `defect/` without a mask of
the same stem have a label and no labelled pixel, in every split; ids are good/a and
defect/b. A label in `labels.csv` is the name of a class, its number, or good or defect
where there are two. train/, validation/ and test/ may hold either layout. A label that
contradicts its mask is an error.

Classes of whole images that are others than those of pixels stand in labels.csv too, of
images with masks or without any:

    stem,class          stem,edema,effusion,nodule
    a,normal            a,0,1,0
    b,pneumonia         b,1,,1

Left, each image is of one class, by name; right, of any number of them: 1 it shows the
class, 0 it does not. An empty cell is unknown, and so is an image without a line.

`splits.csv` has the columns stem, split (train, validation, test,
or unlabelled for an image without a mask) and group (patient or slide, optional).
`classes.txt` names one class a line, background first; the option `absent` names those
that occur in no image, such as a class of which no mask exists. Nothing is written
there. Masks in colour need the colour of each class behind its name:

    background 0,0,0
    cell 255,0,0
    ignore 255,255,255      (optional: pixels that are not labelled, no class)

Then every mask is read by its colours, RGB, palette or grey (g is g,g,g), and one that
holds another colour is an error. Predictions, and masks for `evaluate --masks`, hold
class ids all the same.

Without colours there, masks with a palette of black and white are read by colour, all
others by index. Images
of floating-point numbers become 16 bits, by `intensity.from_float`.
"""

import functools
import os
import pathlib
from collections.abc import Sequence

import tensorflow_datasets as tfds

from jaxseg.data.datasets._folder import (
    check,
    count_objects,
    examples,
    label_format,
    store,
)
from jaxseg.data.files import images
from jaxseg.data.files.listing import suggestion
from jaxseg.data.phantoms import tissue_tree
from jaxseg.data.preparation import class_checks, splits, strata, tfds_builder
from jaxseg.errors import ConfigError

FORMATS = ("auto", *label_format.FORMATS)
write_demo = tissue_tree.write  # phantom tissue of five classes, as such a folder


class Builder(tfds_builder.Builder):
    """The data set as TFDS stores it; `prepare` makes it from a folder."""

    name = "image_folder"
    VERSION = tfds.core.Version("1.0.0")


def prepare(
    source: str | os.PathLike,
    data_dir: str | os.PathLike,
    *,
    progress: bool = True,
    mask_format: str = "auto",
    allow_unlabelled: bool = False,
    max_pixels: int = images.MAX_PIXELS,
    validation: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    stratify: str = "auto",
    object_bins: str = strata.BINS_OPTION,
    absent: str | Sequence[str] = "",
) -> pathlib.Path:
    """The directory of the prepared data set: `data_dir`/image_folder/1.0.0-<hash>.

    The hash covers names, sizes and times of the files, and the options, so a changed
    folder is prepared anew and an unchanged one is returned at once. `mask_format` is
    class_ids (255 = unlabelled), binary (0 and 255, or 0 and 1), instances (numbered
    objects, all of them foreground, whose ids are kept), or auto: one of these for the
    whole set, logged and stored with its reason. `allow_unlabelled` puts images without
    a mask into training as wholly unlabelled.

    Without given splits they are made: by group, equal images together, `validation`
    and `test` shares of the images, stratified by what `stratify` says: "foreground"
    (its area), "classes" (the rarest class that an image shows, so that none misses a
    split that it could be in), "objects" (their number in an image, in bins that begin
    at 0 and at each of `object_bins`), "image_classes" (the rarest class of whole
    images), or "auto": these where there are any, classes where there are more than
    two, else foreground. `absent` names classes that are declared to occur nowhere:
    they keep their number, and nothing is scored for them. Raises DataError with all
    problems of the folder at once, and ConfigError for options that cannot be used.
    """
    source, absent = pathlib.Path(source), class_checks.names(absent)
    check_choice("mask_format", mask_format, FORMATS)
    check_choice("stratify", stratify, strata.CHOICES)
    options = {"mask_format": mask_format, "allow_unlabelled": allow_unlabelled}
    shares = splits.shares(validation=validation, test=test)
    options |= {"max_pixels": max_pixels, "shares": shares, "seed": seed}
    options |= {"stratify": stratify, "object_bins": strata.edges(object_bins)}
    options |= {"absent": absent} if absent else {}
    build = functools.partial(_build, source, options=options, progress=progress)
    return store.once(Builder, source, data_dir, options, build)


def check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises ConfigError for a value of an option that is none of its choices."""
    if value not in choices:
        raise ConfigError(
            f"{option} {value!r} is unknown{suggestion(value, choices)}"
            f" Allowed are {list(choices)}."
        )


def _build(
    source: pathlib.Path, part: pathlib.Path, *, options: dict, progress: bool
) -> pathlib.Path:
    reading = {k: options[k] for k in ("mask_format", "allow_unlabelled", "max_pixels")}
    plan = check.examine(source, progress=progress, **reading)
    class_checks.check_absent(options.get("absent", ()), plan.classes)
    how = {k: options[k] for k in ("shares", "seed", "stratify", "object_bins")}
    objects = count_objects.of(plan) if options["stratify"] == "objects" else None
    division = examples.divide(plan, **how, objects=objects)
    return store.write(Builder, part, source, plan, division, options)
