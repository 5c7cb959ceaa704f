"""Prepares cells under phase contrast, in the layout of the click study.

    phc_data/
      train/images/a.jpg ...      train/labels/a.png ...
      test/images/b.jpg ...       test/labels/b.png ...

An image and its label share the file stem. A label is a grey PNG of the same size,
foreground above half of its range: 0 and 255. There is no official validation split:
it is made from train/, and test/ stays as it is. Nothing is written there.
"""

import functools
import os
import pathlib
import re
from collections.abc import Callable

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from jaxseg.data import intensity
from jaxseg.data.datasets import _phc_source
from jaxseg.data.files.listing import raise_all
from jaxseg.data.phantoms import phc_tree
from jaxseg.data.preparation import build_once, card, convert, splits, tfds_builder
from jaxseg.errors import ConfigError

CLASSES = ("background", "cell")
LABEL_VALUES = ("grey", "class_ids")
write_demo = phc_tree.write  # phantom cells in the layout that `prepare` reads


class Builder(tfds_builder.Builder):
    """The data set as TFDS stores it; `prepare` makes it from the raw files."""

    name = "phc"
    VERSION = tfds.core.Version("1.0.0")


def prepare(
    source: str | os.PathLike,
    data_dir: str | os.PathLike,
    *,
    progress: bool = True,
    label_values: str = "grey",
    validation: float = 0.2,
    group_pattern: str = "",
    seed: int = 0,
) -> pathlib.Path:
    """The directory of the prepared data set, made from the raw files in `source`.

    Returns at once when it is there already, made from the same files with the same
    options. `label_values` is "grey" (foreground above half of the range) or
    "class_ids" (labels hold 0 and 1). `validation` is the share of train/ that becomes
    the validation split, stratified by foreground. `group_pattern` is a regular
    expression on the stem whose first group names what must stay together, such as
    "^(.*)_t[0-9]+$" for the frames of one film; equal images always do. Raises
    DataError with all problems of the folder at once, and ConfigError for options that
    cannot be used.
    """
    _check(label_values, validation, group_pattern)
    source = pathlib.Path(source).expanduser()
    pairs = _phc_source.find(source, group_pattern)
    options = {"label_values": label_values, "validation": validation}
    options |= {"group_pattern": group_pattern, "seed": seed}
    build = functools.partial(_build, pairs, source, options=options, progress=progress)
    return build_once.once(
        Builder,
        source=source,
        files=[name for pair in pairs for name in pair.files],
        data_dir=data_dir,
        options=options,
        build=build,
    )


def _check(label_values: str, validation: float, group_pattern: str) -> None:
    if label_values not in LABEL_VALUES:
        raise ConfigError(
            f"label_values is {label_values!r}; allowed are {[*LABEL_VALUES]}."
        )
    if not 0 < validation < 1:
        raise ConfigError(
            f"validation={validation} must be a share of train/ between 0 and 1, for "
            "example 0.2."
        )
    try:
        groups = re.compile(group_pattern).groups
    except re.error as error:
        raise ConfigError(f"group_pattern {group_pattern!r}: {error}.") from error
    if group_pattern and not groups:
        raise ConfigError(
            f"group_pattern {group_pattern!r} has no (...) that names the group."
        )


def _build(
    pairs: list[_phc_source.Pair],
    source: pathlib.Path,
    part: pathlib.Path,
    *,
    options: dict,
    progress: bool,
) -> pathlib.Path:
    cache = part / "cache"
    convert_all = functools.partial(_rows, pairs, source, cache, options, progress)
    rows = convert_all(colour=False)
    if len({row["channels"] for row in rows}) > 1:  # grey among colour
        rows = convert_all(colour=True)
    rule, warned = _divide(rows, options)
    channels = rows[0]["channels"]
    shards = convert.shards(rows, cache, "uint8")
    builder = tfds_builder.store(Builder, part, shards=shards, channels=channels)
    counts = sum(np.array(r["intensity"]) for r in rows if r["split"] == "train")
    card.finish(
        builder,
        classes=CLASSES,
        channels=channels,
        source=str(source),
        split_rule=rule,
        options=options,
        extra={"intensity": intensity.summary(counts), **warned},
    )
    return pathlib.Path(builder.data_path)


def _rows(pairs, source, cache, options, progress, *, colour: bool) -> list[dict]:
    """A row for every pair; DataError with all pairs that cannot be used."""
    how = {"label_values": options["label_values"], "colour": colour}
    rows, refused = convert.convert(
        [_phc_source.job(pair, **how) for pair in pairs],
        functools.partial(_phc_source.example, source),
        source=source,
        cache=cache,
        progress=progress,
    )
    if refused:
        raise_all(source, [one["reason"] for one in refused])
    return rows


def _divide(rows: list[dict], options: dict) -> tuple[str, dict[str, int]]:
    """Sets the split of each row; (the rule, what was warned of and how often)."""
    for row in rows:
        row["split"] = row["id"].split("/")[0]
    train = [row for row in rows if row["split"] == "train"]
    test = [row for row in rows if row["split"] == "test"]
    warned = {
        "labels_without_foreground": sum(not row["area"] for row in rows),
        "labels_with_grey_edges": sum(row["soft"] > 0 for row in rows),
        "test_images_also_in_train": _shared(train, test, lambda r: r["digest"]),
    }
    if options["group_pattern"]:
        warned["test_images_of_groups_in_train"] = _shared(
            train, test, lambda r: r["group"].split("/", 1)[1]
        )
    for what, count in warned.items():
        if count:
            logging.warning("%s: %d", what.replace("_", " "), count)
    groups = splits.join([r["group"] for r in train], [r["digest"] for r in train])
    share = options["validation"]
    chosen = splits.assign(
        groups,
        [row["label"] for row in train],
        [row["area"] for row in train],
        shares={"train": 1 - share, "validation": share},
        seed=options["seed"],
    )
    for row, group, split in zip(train, groups, chosen, strict=True):
        row["group"], row["split"] = group, split
    by = f"group ({options['group_pattern']})" if options["group_pattern"] else "image"
    return (
        f"test as given; of train {share:.3g} for validation, by {by}, stratified by "
        f"foreground, seed {options['seed']}"
    ), warned


def _shared(train: list[dict], test: list[dict], key: Callable) -> int:
    keys = {key(row) for row in train}
    return sum(key(row) in keys for row in test)
