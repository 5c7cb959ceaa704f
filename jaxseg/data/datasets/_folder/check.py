"""Opens every image and mask of a folder once, and decides from them for the set."""

import functools
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from absl import logging

from jaxseg.data import intensity
from jaxseg.data.datasets._folder import (
    class_names,
    image_labels,
    label_format,
    pairing,
)
from jaxseg.data.datasets._folder import facts as looked
from jaxseg.data.datasets._folder.facts import Facts, Reading
from jaxseg.data.datasets._folder.image_classes import ImageNames
from jaxseg.data.datasets._folder.items import Item
from jaxseg.data.files import colours, nodata, palettes
from jaxseg.data.files.listing import raise_all
from jaxseg.data.preparation import convert, workers
from jaxseg.labels import IGNORE


class Plan(NamedTuple):
    """A folder without problems, and what was decided for the whole of it."""

    items: list[Item]
    facts: list[Facts]
    classes: list[str]
    channels: int
    dtype: str
    mask_format: str
    why: str  # this format
    reading: Reading  # of the masks
    image_classes: ImageNames | None = None  # of whole images

    @property
    def has_instances(self) -> bool:
        """Whether its masks, or files beside them, number the objects."""
        beside = any(item.instances is not None for item in self.items)
        return beside or self.mask_format == "instances"

    @property
    def floats(self) -> bool:
        """Whether the files of the images hold floating-point numbers."""
        return self.facts[0].numbers in intensity.FLOATS


def examine(
    source: pathlib.Path,
    *,
    mask_format: str,
    allow_unlabelled: bool,
    max_pixels: int,
    progress: bool,
    instances: bool = False,
) -> Plan:
    """The Plan of a folder, after opening every image and mask.

    `instances`: see `pairing.find`.
    Raises DataError with all problems at once, each naming its file: the first 20, and
    how many there are.
    """
    items, classes, problems, whole, listed = pairing.find(
        source, allow_unlabelled=allow_unlabelled, instances=instances
    )
    if listed and mask_format not in ("auto", "class_ids"):
        problems.append(
            f"{source / class_names.FILE} gives every class a colour, so masks cannot "
            f"be read as {mask_format}; set mask_format to auto, or remove the colours."
        )
    reading = Reading(mask_format == "binary", max_pixels, listed=listed)
    results = workers.in_order(
        functools.partial(looked.packed, reading=reading),
        items,
        name=lambda item: str(item.image),
        sizes=[workers.file_size(item.image) for item in items],
        broken=looked.unreadable,
        limits=workers.for_pixels(max_pixels),
    )
    results = convert.track(results, total=len(items), what="Checking", show=progress)
    inspected = [
        (item, *looked.unpacked(row)) for item, row in zip(items, results, strict=True)
    ]
    problems += [problem for _, _, wrong in inspected for problem in wrong]
    items = [item for item, _, wrong in inspected if not wrong]
    facts = [fact for _, fact, wrong in inspected if not wrong]
    if unnamed := painted(source, items, facts, mask_format):
        raise_all(source, [*problems, *unnamed])
    why = "as set"
    if listed:
        mask_format, why = "class_ids", "classes.txt gives every class a colour"
    if facts:
        problems += one_kind(items, facts)
        white, wrong = white_of(items, facts, mask_format, classes and len(classes))
        problems += wrong
    if facts and white is not None:
        reading = reading._replace(white=white)
        facts = [looked.by_colour(fact, white) for fact in facts]
    bare = not any(len(fact.values) for fact in facts)
    told = whole or any(item.label is not None for item in items)
    if mask_format == "auto" and bare and told:
        mask_format = "class_ids" if len(classes or ()) > 2 else "binary"
        why = "no image has a mask, only labels of whole images are there"
    elif mask_format == "auto" and not problems:
        mask_format, why = label_format.decide(source, facts, classes and len(classes))
        if reading.white is not None:
            why += "; palettes of black and white are read by colour"
        logging.info("mask_format auto: %s (%s)", mask_format, why)
    if mask_format != "auto":
        classes = classes or label_format.default_classes(mask_format, facts, problems)
        problems += label_format.problems(items, facts, mask_format, len(classes))
        problems += image_labels.contradictions(items, facts, mask_format)
        if mask_format != "class_ids" and len(classes) != 2:
            problems.append(
                f"{source / 'classes.txt'} names {len(classes)} classes, but masks of "
                f"{mask_format} have 2; set mask_format to class_ids, or name 2."
            )
    if problems:
        raise_all(source, problems)
    if paged := sum(fact.pages for fact in facts):
        logging.warning(
            "%s: the pages of %d images, which no tag names, are taken for channels.",
            source,
            paged,
        )
    if stored := sum(fact.nodata for fact in facts):
        logging.warning(
            "%s: %d images of 8 bits hold the number that their tag %s declares as no "
            "data; it stays an intensity as any other.",
            source,
            stored,
            nodata.NAME,
        )
    return Plan(
        items=items,
        facts=facts,
        classes=classes,
        channels=max(f.channels for f in facts),
        dtype=facts[0].dtype,
        mask_format=mask_format,
        why=why,
        reading=reading,
        image_classes=whole,
    )


def white_of(
    items: Sequence[Item],
    facts: Sequence[Facts],
    mask_format: str,
    classes: int | None,
) -> tuple[int | None, list[str]]:
    """(the label of white in palettes that are read by colour, what is wrong).

    None where palettes are read by index. White is 255 where masks without a palette
    say so, else 1, which is no unlabelled pixel in any format.
    """
    coloured = [k for k, fact in enumerate(facts) if fact.colours]
    if not coloured:
        return None, []
    by_colour, problems = palettes.decide(
        [items[k].mask for k in coloured],
        [facts[k].colours for k in coloured],
        classes=classes,
        objects=mask_format == "instances",
    )
    if not by_colour:
        return None, problems
    plain = {int(v) for fact in facts if not fact.colours for v in fact.values}
    bright = mask_format in ("auto", "binary") and IGNORE in plain and 1 not in plain
    return (IGNORE if bright else 1), problems


def painted(
    source: pathlib.Path,
    items: Sequence[Item],
    facts: Sequence[Facts],
    mask_format: str,
) -> list[str]:
    """The problem of masks that are painted in colours which no classes.txt lists."""
    met = [k for k, fact in enumerate(facts) if len(fact.painted)]
    if not met:
        return []
    counts = colours.add([facts[k].painted for k in met])
    advice = colours.proposal(counts, str(source / class_names.FILE))
    if mask_format == "instances":
        advice = "number the objects in one channel (greyscale of 8 or 16 bits)"
    masks = sum(item.mask is not None for item in items)
    return [
        f"{len(met)} of {masks} masks are in colour (3 channels that differ), such as "
        f"{items[met[0]].mask}; they hold {colours.shares(counts)}: {advice}."
    ]


def one_kind(items: Sequence[Item], facts: Sequence[Facts]) -> list[str]:
    """Problems where images do not go together.

    Grey images among colour ones are repeated into three channels; any other mixture
    of channels, and of types of numbers, is a problem.
    """
    channels = {f.channels: item for item, f in zip(items, facts, strict=True)}
    numbers = {f.numbers: item for item, f in zip(items, facts, strict=True)}
    problems = []
    if len(numbers) > 1 and not set(numbers) <= {*intensity.FLOATS}:
        kinds = " and ".join(f"{n} ({i.image})" for n, i in sorted(numbers.items()))
        problems.append(f"images are of {kinds}; save all of them in one type.")
    if len(channels) > 1 and set(channels) != {1, 3}:
        kinds = " and ".join(f"{c} ({i.image})" for c, i in sorted(channels.items()))
        problems.append(f"images have channels {kinds}; only 1 and 3 can be mixed.")
    return problems
