"""Prepares SIIM-ACR pneumothorax: chest radiographs, one mask each, most of them empty.

Reads the challenge's DICOM files and run lengths, or their re-packaging as PNG; splits
by patient, stratified by label and area. SIIM-ACR Pneumothorax Segmentation, 2019,
https://www.kaggle.com/c/siim-acr-pneumothorax-segmentation
"""

import functools
import os
import pathlib
from collections import Counter
from collections.abc import Mapping

import tensorflow_datasets as tfds

from jaxseg.data.datasets import _siim_example, _siim_source
from jaxseg.data.phantoms import siim_tree
from jaxseg.data.preparation import build_once, card, convert, splits, tfds_builder
from jaxseg.errors import DataError

CLASSES = ("background", "pneumothorax")
_REFUSED = 0.05  # a larger share of unusable images is a broken copy
write_demo = siim_tree.write  # phantom films in the layout that `prepare` reads


class Builder(tfds_builder.Builder):
    """The data set as TFDS stores it; `prepare` makes it from the raw files."""

    name = "siim_acr"
    VERSION = tfds.core.Version("1.0.0")
    HOMEPAGE = "https://www.kaggle.com/c/siim-acr-pneumothorax-segmentation"


def prepare(
    source: str | os.PathLike,
    data_dir: str | os.PathLike,
    *,
    progress: bool = True,
    validation: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    csv: str = "",
) -> pathlib.Path:
    """The directory of the prepared data set, made from the raw files in `source`.

    Returns at once when it is there already, made from the same files with the same
    options. `validation` and `test` are shares of the images, `csv` names the table of
    run lengths when `source` has several. An image that cannot be used is left out and
    named in the data card; DataError when that is more than 5 % of them, when a label
    cannot be right, and when something else stands at the place.
    """
    shares = splits.shares(validation=validation, test=test)
    listing = _siim_source.find(source, table=csv)
    options = {"form": listing.form, "csv": listing.table, "seed": seed}
    options |= {"validation": validation, "test": test}
    build = functools.partial(
        _build, listing, shares=shares, options=options, progress=progress
    )
    return build_once.once(
        Builder,
        source=listing.root,
        files=listing.files,
        data_dir=data_dir,
        options=options,
        build=build,
    )


def _build(
    listing: _siim_source.Listing,
    part: pathlib.Path,
    *,
    shares: Mapping[str, float],
    options: dict,
    progress: bool,
) -> pathlib.Path:
    one = (
        _siim_example.from_dicom if listing.form == "dicom" else _siim_example.from_png
    )
    rows, refused = convert.convert(
        listing.jobs,
        functools.partial(one, listing.root),
        source=listing.root,
        cache=part / "cache",
        progress=progress,
    )
    if len(refused) > _REFUSED * len(listing.jobs):
        raise DataError(
            f"{len(refused)} of {len(listing.jobs)} images in {listing.root} cannot be "
            f"used, the first: {refused[0]['reason']}"
        )
    rule, duplicates = _group(rows)
    columns = [[row[key] for row in rows] for key in ("group", "label", "area")]
    assigned = splits.assign(*columns, shares=shares, seed=options["seed"])
    for row, split in zip(rows, assigned, strict=True):
        row["split"] = split
    dtype = "uint16" if any(r["dtype"] == "uint16" for r in rows) else "uint8"
    shards = convert.shards(rows, part / "cache", dtype)
    builder = tfds_builder.store(Builder, part, shards=shards, dtype=dtype)
    card.finish(
        builder,
        classes=CLASSES,
        channels=1,
        source=str(listing.root),
        split_rule=f"{splits.describe(shares)}, by {rule}, stratified by label and "
        f"area, seed {options['seed']}",
        refused=[*listing.refused, *refused],
        options=options,
        pixel_sizes={row["id"]: row.get("pixel_size") for row in rows},
        extra={
            "duplicate_images": duplicates,
            "test_images_without_labels": listing.set_aside,
        },
    )
    return pathlib.Path(builder.data_path)


def _group(rows: list[dict]) -> tuple[str, int]:
    """Sets the group of each row; (what the groups are, number of duplicate images).

    One PatientID for all images is a placeholder of the anonymisation: then the study
    is the group. Equal pixels unite groups, so that no image is on both sides.
    """
    rule = "patient"
    if len({row["group"] for row in rows}) == 1:
        rule = "study"
        for row in rows:
            row["group"] = row["study"] or row["id"]
    joined = splits.join([r["group"] for r in rows], [r["digest"] for r in rows])
    for row, group in zip(rows, joined, strict=True):
        row["group"] = group
    counts = Counter(row["digest"] for row in rows)
    return rule, sum(n - 1 for n in counts.values())
