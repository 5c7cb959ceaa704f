"""Stores a checked and divided folder as a prepared data set, under a name of its own.

The name has a hash of the names, sizes and times of the files and of the options, so a
changed folder is prepared anew and an unchanged one is there already.
"""

import contextlib
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import logging

from jaxseg import atomic
from jaxseg.data import intensity
from jaxseg.data.datasets._folder import examples
from jaxseg.data.datasets._folder.check import Plan
from jaxseg.data.datasets._folder.examples import Division
from jaxseg.data.datasets._folder.items import Item
from jaxseg.data.files import disk, pixel_size, scratch
from jaxseg.data.files.listing import fingerprint
from jaxseg.data.preparation import card, tfds_builder
from jaxseg.errors import ConfigError

# counts up when files are read otherwise, so that none is read as before: 3 keeps ids
_READERS = 3


def once(
    kind: type[tfds_builder.Builder],
    source: pathlib.Path,
    data_dir: str | os.PathLike,
    options: Mapping[str, Any],
    build: Callable[[pathlib.Path], pathlib.Path],
) -> pathlib.Path:
    """The directory of the prepared data set, built now by `build(part)` or found.

    `build` makes the data set below the folder `part` and returns its directory. Raises
    ConfigError for a `data_dir` inside `source`, where nothing is written.
    """
    data_dir = pathlib.Path(data_dir).expanduser()
    if data_dir.resolve().is_relative_to(source.resolve()):
        raise ConfigError(f"{data_dir} is inside {source}, where nothing is written.")
    root = data_dir / kind.name
    digest = fingerprint(source, {**options, "readers": _READERS})
    final = root / f"{kind.VERSION}-{digest}"
    if (final / "card.json").is_file():
        scratch.remove_abandoned(root, f".{kind.VERSION}")
        return final
    with contextlib.ExitStack() as stack:
        stack.enter_context(disk.room(data_dir, what="the prepared data set"))
        with atomic.writable(data_dir):
            root.mkdir(parents=True, exist_ok=True)
            part = stack.enter_context(scratch.folder(root, str(kind.VERSION)))
        built = build(part)
        try:
            built.rename(final)
        except OSError:  # another process was faster with the same folder
            if not (final / "card.json").is_file():
                raise
    return final


def write(
    kind: type[tfds_builder.Builder],
    part: pathlib.Path,
    source: pathlib.Path,
    plan: Plan,
    division: Division,
    options: Mapping[str, Any],
    *,
    extra: Mapping[str, Any] | None = None,
    pixel_sizes: Mapping[str, float | None] | None = None,
) -> pathlib.Path:
    """The directory of the data set, written below the folder `part`, with its card.

    `extra` is added to the extra of the card; `absent` of the options are the classes
    that are declared to occur nowhere. `pixel_sizes` are {id: micrometres};
    without them they are read from the headers of the images.
    """
    items = division.items
    counts = intensity.no_counts(plan.channels, plan.dtype)
    shards = examples.shards(plan, items, counts)
    need = sum(fact.nbytes for fact in plan.facts)
    with disk.room(part.parent, what="the prepared data set", need=need):
        builder = tfds_builder.store(
            kind,
            part,
            shards=shards,
            channels=plan.channels,
            dtype=plan.dtype,
            instances=plan.has_instances,
        )
    facts = {
        "mask_format": {"decided": plan.mask_format, "why": plan.why},
        "intensity": intensity.summary(counts),
        "equal_images_in_two_splits": division.repeated,
    }
    if listed := plan.reading.listed:
        facts["colours"] = {line.name: list(line.colour) for line in listed}
    if plan.floats:
        facts["float_percentiles"] = list(intensity.CORE)
    if plan.mask_format == "instances":
        facts["instances"] = examples.objects(plan, items)
    if pixel_sizes is None:
        pixel_sizes = {i.id: pixel_size.read(i.image) for i in items if i.split}
    content = card.finish(
        builder,
        classes=plan.classes,
        channels=plan.channels,
        source=str(source.resolve()),
        split_rule=division.rule,
        refused=division.refused,
        options=options,
        pixel_sizes=pixel_sizes,
        orientations={
            item.id: fact.orientation
            for item, fact in zip(items, plan.facts, strict=True)
        },
        image_classes=_image_classes(plan, items),
        absent=options.get("absent", ()),
        extra={**facts, **(extra or {})},
    )
    for name, split in content["splits"].items():
        if not split["positives"]:
            logging.warning("%s: no image of %s holds any class", source, name)
    return pathlib.Path(builder.data_path)


def _image_classes(plan: Plan, items: Sequence[Item]) -> card.ImageClasses | None:
    """The classes of whole images for the card; None where the folder has none."""
    if plan.image_classes is None:
        return None
    unknown = (-1,) * len(plan.image_classes.names)
    of = {item.id: item.image_classes or unknown for item in items}
    return card.ImageClasses(*plan.image_classes, of)
