"""Prepares a user's own images and masks: a folder, checked as a whole first.

    my_images/                    my_images/
      images/a.png ...              train/images/ ...       train/masks/ ...
      masks/a.png ...               validation/images/ ...  validation/masks/ ...
      splits.csv   (optional)       test/images/ ...        test/masks/ ...
      classes.txt  (optional)       classes.txt (optional)

An image and its mask have the same path below `images/` and `masks/`, without suffix;
that path is the id. `splits.csv` has the columns stem, split (train, validation, test,
or unlabelled for an image without a mask) and group (patient or slide, optional).
`classes.txt` names one class a line, background first. Nothing is written there.

Masks with a palette of black and white are read by colour, all others by index. Images
of floating-point numbers become 16 bits, by `intensity.from_float`.
"""

import contextlib
import os
import pathlib

import tensorflow_datasets as tfds
from absl import logging

from jaxseg.data import intensity
from jaxseg.data.datasets._folder import check, examples, label_format
from jaxseg.data.files import disk, images, pixel_size, scratch
from jaxseg.data.files.listing import fingerprint, suggestion
from jaxseg.data.phantoms import tissue_tree
from jaxseg.data.preparation import card, splits, tfds_builder
from jaxseg.errors import ConfigError, DataError

FORMATS = ("auto", *label_format.FORMATS)
_READERS = 3  # counts up when files are read otherwise, so that none is read as before
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
) -> pathlib.Path:
    """The directory of the prepared data set: `data_dir`/image_folder/1.0.0-<hash>.

    The hash covers names, sizes and times of the files, and the options, so a changed
    folder is prepared anew and an unchanged one is returned at once. `mask_format` is
    class_ids (255 = unlabelled), binary (0 and 255, or 0 and 1), instances (numbered
    objects, all of them foreground, whose ids are kept), or auto: one of these for the
    whole set, logged and stored with its reason. `allow_unlabelled` puts images without
    a mask into training as wholly unlabelled. Without given splits they are made: by
    group, equal images together, stratified by foreground, `validation` and `test`
    shares of the images. Raises DataError with all problems of the folder at once, and
    ConfigError for options that cannot be used.
    """
    source, data_dir = pathlib.Path(source), pathlib.Path(data_dir).expanduser()
    if mask_format not in FORMATS:
        raise ConfigError(
            f"mask_format {mask_format!r} is unknown{suggestion(mask_format, FORMATS)}"
            f" Allowed are {list(FORMATS)}."
        )
    if data_dir.resolve().is_relative_to(source.resolve()):
        raise ConfigError(f"{data_dir} is inside {source}, where nothing is written.")
    shares = splits.shares(validation=validation, test=test)
    options = {"mask_format": mask_format, "allow_unlabelled": allow_unlabelled}
    options |= {"max_pixels": max_pixels, "shares": shares, "seed": seed}
    root = data_dir / Builder.name
    digest = fingerprint(source, options | {"readers": _READERS})
    final = root / f"{Builder.VERSION}-{digest}"
    if (final / "card.json").is_file():
        scratch.remove_abandoned(root, f".{Builder.VERSION}")
        return final
    with contextlib.ExitStack() as stack:
        stack.enter_context(disk.room(data_dir, what="the prepared data set"))
        try:
            root.mkdir(parents=True, exist_ok=True)
            part = stack.enter_context(scratch.folder(root, str(Builder.VERSION)))
        except OSError as error:
            raise DataError(f"cannot write to {data_dir}: {error.strerror}.") from error
        built = _build(source, part, options, progress=progress)
        try:
            built.rename(final)
        except OSError:  # another process was faster with the same folder
            if not (final / "card.json").is_file():
                raise
    return final


def _build(
    source: pathlib.Path, part: pathlib.Path, options: dict, *, progress: bool
) -> pathlib.Path:
    reading = {k: options[k] for k in ("mask_format", "allow_unlabelled", "max_pixels")}
    plan = check.examine(source, progress=progress, **reading)
    items, rule, repeated, refused = examples.divide(
        plan, shares=options["shares"], seed=options["seed"]
    )
    counts = intensity.no_counts(plan.channels, plan.dtype)
    shards = examples.shards(plan, items, counts)
    need = sum(fact.nbytes for fact in plan.facts)
    with disk.room(part.parent, what="the prepared data set", need=need):
        builder = tfds_builder.store(
            Builder,
            part,
            shards=shards,
            channels=plan.channels,
            dtype=plan.dtype,
            instances=plan.mask_format == "instances",
        )
    extra = {
        "mask_format": {"decided": plan.mask_format, "why": plan.why},
        "intensity": intensity.summary(counts),
        "equal_images_in_two_splits": repeated,
    }
    if plan.floats:
        extra["float_percentiles"] = list(intensity.CORE)
    if plan.mask_format == "instances":
        extra["instances"] = examples.objects(plan, items)
    content = card.finish(
        builder,
        classes=plan.classes,
        channels=plan.channels,
        source=str(source.resolve()),
        split_rule=rule,
        refused=refused,
        options=options,
        pixel_sizes={i.id: pixel_size.read(i.image) for i in items if i.split},
        extra=extra,
    )
    for name, split in content["splits"].items():
        if not split["positives"]:
            logging.warning("%s: no image of %s holds any class", source, name)
    return pathlib.Path(builder.data_path)
