"""Prepares micrographs of beads, in the layout of the microbead study.

    dataset_microscope/
      images/a.tif ...         tif, tiff, png or jpg
      masks/a.tif ...          the same name; grey, 0 and 255, or numbered beads
      instances/a.tif ...      (optional) numbered beads beside masks of 0 and 255, or
                               in place of masks/
      empty.txt    (optional)  names of images without a bead, one a line
      splits.csv   (optional)  as in image_folder

A name is that of the file without its suffix. JPEG masks are cut at 127, as the study
cuts all of them, where they hold black and white alone. Where no file numbers the
beads, the connected components of a mask are counted, and touching beads as one.
Nothing is written there.

What would make the pairs or the scores wrong is an error that names the file: an image
without a mask, one that cannot be read or is the same everywhere, a mask that holds
anything but 0 and 255 or numbers, or is empty without being named in empty.txt, and an
image that is in two splits.
"""

import functools
import os
import pathlib
import unicodedata
from collections.abc import Sequence

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from jaxseg.data.datasets._folder import check, count_objects, examples, store
from jaxseg.data.datasets._folder.check import Plan
from jaxseg.data.datasets._folder.count_objects import Objects
from jaxseg.data.datasets._folder.examples import Division
from jaxseg.data.datasets.image_folder import check_choice
from jaxseg.data.files import images, pixel_size, text
from jaxseg.data.files.listing import SPLITS, raise_all, suggestions
from jaxseg.data.phantoms import beads_tree
from jaxseg.data.preparation import splits, strata, tfds_builder
from jaxseg.errors import ConfigError, DataError

CLASSES = ["background", "bead"]
FORMATS = ("auto", "binary", "instances")
_JPEG = (".jpg", ".jpeg")
_OTHER = 0.01  # share by which two pixel sizes of one image differ
write_demo = beads_tree.write  # phantom beads, as such a folder


class Builder(tfds_builder.Builder):
    """The data set as TFDS stores it; `prepare` makes it from a folder."""

    name = "microbeads"
    VERSION = tfds.core.Version("1.0.0")


def prepare(
    source: str | os.PathLike,
    data_dir: str | os.PathLike,
    *,
    progress: bool = True,
    mask_format: str = "auto",
    max_pixels: int = images.MAX_PIXELS,
    validation: float = 0.12,
    test: float = 0.2,
    seed: int = 0,
    stratify: str = "auto",
    object_bins: str = strata.BINS_OPTION,
    pixel_size_um: float = 0.0,
) -> pathlib.Path:
    """The directory of the prepared data set: `data_dir`/microbeads/1.0.0-<hash>.

    The hash covers the files and the options, as in `image_folder`. `mask_format` is
    binary, instances, or auto. Splits that are not given are made: `test` of the images
    are held out, and of the others the study's 85/15 train and validate. They agree in
    the number of beads an image (`stratify` "auto" or "objects"), in bins that begin at
    0 and at each of `object_bins`, or in the share of foreground ("foreground").
    `pixel_size_um` is the side of a pixel in micrometres where the files do not say
    it. Raises DataError with all problems of the folder, and ConfigError for options
    that cannot be used.
    """
    source = pathlib.Path(source)
    check_choice("mask_format", mask_format, FORMATS)
    check_choice("stratify", stratify, strata.CHOICES)
    if not 0 <= pixel_size_um < float("inf"):
        raise ConfigError(
            f"pixel_size_um is {pixel_size_um}; give the side of a pixel in "
            "micrometres, or 0 where it is not known."
        )
    options = {"mask_format": mask_format, "max_pixels": max_pixels, "seed": seed}
    options |= {"shares": splits.shares(validation=validation, test=test)}
    options |= {"stratify": stratify, "object_bins": strata.edges(object_bins)}
    options |= {"pixel_size_um": pixel_size_um}
    build = functools.partial(_build, source, options=options, progress=progress)
    return store.once(Builder, source, data_dir, options, build)


def _build(
    source: pathlib.Path, part: pathlib.Path, *, options: dict, progress: bool
) -> pathlib.Path:
    mask_format, why = _format(source, options["mask_format"])
    plan = check.examine(
        source,
        mask_format=mask_format,
        allow_unlabelled=False,
        max_pixels=options["max_pixels"],
        progress=progress,
        instances=True,
    )
    if plan.image_classes or any(item.label is not None for item in plan.items):
        raise DataError(
            f"{source} holds labels of whole images (good/ and defect/, or labels.csv),"
            " which do not say where beads are; draw masks, or prepare it as "
            "image_folder."
        )
    if plan.mask_format == "class_ids":
        raise DataError(
            f"{source}: the masks hold classes ({plan.why}); those of beads are 0 and "
            "255, or number the beads. Prepare it as image_folder, or set mask_format "
            "to 'instances' if the values number beads."
        )
    plan = plan._replace(classes=CLASSES, why=why or plan.why)
    counted = count_objects.of(plan)
    sizes, wrong = _pixel_sizes(plan, options["pixel_size_um"])
    if problems := [*_problems(source, plan, counted), *wrong]:
        raise_all(source, problems)
    stratify = options["stratify"]
    division = examples.divide(
        plan,
        shares=options["shares"],
        seed=options["seed"],
        stratify="objects" if stratify == "auto" else stratify,
        object_bins=options["object_bins"],
        objects=counted,
    )
    if problems := _in_two_splits(plan, division):
        raise_all(source, problems)
    _say(source, plan, counted, sizes)
    return store.write(
        Builder,
        part,
        source,
        plan,
        division,
        options,
        extra=_facts(plan, division, counted, sizes),
        pixel_sizes=sizes,
    )


def _format(source: pathlib.Path, mask_format: str) -> tuple[str, str]:
    """(the format to read masks with, why; "" = as masks of any folder)."""
    masks, numbered = source / "masks", (source / "instances").is_dir()
    if mask_format != "auto":
        return mask_format, ""
    if numbered and not masks.is_dir():
        return "instances", "instances/ stands in place of masks/"
    if numbered:
        return "binary", "the beads are numbered in instances/"
    if any(path.suffix.lower() in _JPEG for path in masks.rglob("*")):
        return "binary", "some masks are JPEG, which are cut at 127"
    return "auto", ""


def _problems(
    source: pathlib.Path, plan: Plan, counted: Sequence[Objects]
) -> list[str]:
    """What is wrong with images and masks that can be read: one line each."""
    out: list[str] = []
    empty = _empty(source, {item.id for item in plan.items}, out)
    for item, fact, one in zip(plan.items, plan.facts, counted, strict=True):
        if fact.flat:
            out.append(
                f"{item.image} is the same everywhere, so it shows nothing; remove it "
                "with its mask, or save it anew."
            )
        if item.mask is None:  # declared as unlabelled
            continue
        if one.problem:
            out.append(one.problem)
        elif not one.count and item.id not in empty:
            out.append(
                f"{item.mask} is empty; draw the beads, or name {item.id!r} in "
                f"{source / 'empty.txt'} if the image shows none."
            )
        elif one.count and item.id in empty:
            out.append(
                f"{source / 'empty.txt'} names {item.id!r}, but {item.mask} is not "
                "empty."
            )
    return out


def _empty(source: pathlib.Path, ids: set[str], problems: list[str]) -> set[str]:
    """The names in empty.txt; adds a problem for each that is no image."""
    path = source / "empty.txt"
    if not os.path.lexists(path):
        return set()
    try:
        lines = unicodedata.normalize("NFC", text.read(path)).splitlines()
    except DataError as error:
        problems.append(str(error))
        return set()
    names = {line.strip() for line in lines} - {""}
    wrong = sorted(names - ids)
    for name, hint in zip(wrong, suggestions(wrong, list(ids)), strict=True):
        problems.append(f"{path} names {name!r}, but there is no such image{hint}")
    return names


def _pixel_sizes(
    plan: Plan, option: float
) -> tuple[dict[str, float | None], list[str]]:
    """({id: micrometres, None where not known}, files that contradict the option)."""
    sizes, problems = {}, []
    for item in plan.items:
        own = pixel_size.read(item.image)
        if own and option and abs(own / option - 1) > _OTHER:
            problems.append(
                f"{item.image} says its pixels are {own:.4g} micrometres wide, but "
                f"pixel_size_um is {option:g}; set that to 0, or correct the file."
            )
        sizes[item.id] = own or option or None
    return sizes, problems


def _in_two_splits(plan: Plan, division: Division) -> list[str]:
    """One line for each image that is in a second split under another name."""
    first: dict[str, tuple[str, pathlib.Path]] = {}
    out = []
    for item, fact in zip(division.items, plan.facts, strict=True):
        split, path = first.setdefault(fact.digest, (item.split, item.image))
        if split != item.split:
            out.append(
                f"{item.image} ({item.split}) is the same image as {path} ({split}); "
                "keep it in one split."
            )
    return out


def _say(
    source: pathlib.Path,
    plan: Plan,
    counted: Sequence[Objects],
    sizes: dict[str, float | None],
) -> None:
    """Warns, in one sentence each, of what counts and sizes cannot say."""
    if not plan.has_instances:
        logging.warning(
            "%s: no file numbers the beads, so they are counted as %s.",
            source,
            count_objects.rule(False),
        )
    if alone := sum(one.unnumbered for one in counted):
        logging.warning(
            "%s: %d foreground pixels of %d masks have no number in instances/; they "
            "are foreground, but of no bead.",
            source,
            alone,
            sum(one.unnumbered > 0 for one in counted),
        )
    if unknown := sum(size is None for size in sizes.values()):
        logging.warning(
            "%s: %d of %d images do not say how large a pixel is; areas are in pixels "
            "only. Set pixel_size_um if you know it.",
            source,
            unknown,
            len(sizes),
        )


def _facts(
    plan: Plan,
    division: Division,
    counted: Sequence[Objects],
    sizes: dict[str, float | None],
) -> dict:
    """What the card says of the beads: of all images, and of each split."""
    labelled = [one for item, one in zip(plan.items, counted, strict=True) if item.mask]
    facts = count_objects.summary(labelled, plan.has_instances)
    if all(sizes.values()):
        sides = np.array([sizes[item.id] for item in plan.items], np.float64)
        area = float(np.array([one.pixels for one in counted]) @ sides**2)
        facts["object_area_um2_mean"] = area / max(facts["objects"], 1)
    by_split = {}
    for name in SPLITS:
        pairs = zip(division.items, counted, strict=True)
        counts = [one.count for item, one in pairs if item.split == name]
        mean = float(np.mean(counts)) if counts else 0.0
        by_split[name] = {"objects": sum(counts), "objects_an_image_mean": mean}
    return {**facts, "objects_by_split": by_split}
