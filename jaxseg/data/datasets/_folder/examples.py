"""Divides a checked folder into splits, and makes its examples one by one."""

import functools
import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from absl import logging

from jaxseg.data import intensity, records
from jaxseg.data.datasets._folder.check import Plan
from jaxseg.data.datasets._folder.count_objects import Objects
from jaxseg.data.datasets._folder.facts import Reading, read_ids, read_mask
from jaxseg.data.datasets._folder.items import Item
from jaxseg.data.datasets._folder.label_format import foreground, to_classes
from jaxseg.data.files import images
from jaxseg.data.files.listing import SPLITS
from jaxseg.data.preparation import convert, splits, strata, workers
from jaxseg.data.preparation.convert import Shards
from jaxseg.errors import ConfigError
from jaxseg.labels import IGNORE, Example

_SHARD_BYTES = 256 * 2**20  # of pixels, before compression


class Form(NamedTuple):
    """What a data set makes of every image and mask."""

    reading: Reading
    channels: int
    mask_format: str
    classes: int
    instances: bool  # every example has object ids


class Division(NamedTuple):
    """Items with their final split; "" = left out, because of `refused`."""

    items: list[Item]
    rule: str
    repeated: int  # images that occur in two splits under two names
    refused: list[dict]


def divide(
    plan: Plan,
    *,
    shares: Mapping[str, float],
    seed: int,
    stratify: str = "auto",
    object_bins: Sequence[int] = strata.OBJECT_BINS,
    objects: Sequence[Objects] | None = None,
) -> Division:
    """The Division of a folder's images into splits.

    Given splits are kept, and equal images in two of them counted. Made ones keep
    groups and equal images together, and are stratified as `stratify` says; "objects"
    needs those of every item. Positives with a label and no mask are a stratum of their
    own. Unlabelled images train, or are left out where their group does not.
    """
    items, digests = plan.items, [fact.digest for fact in plan.facts]
    labelled = [k for k, item in enumerate(items) if item.is_labelled]
    if all(items[k].split for k in labelled):
        items = [i._replace(split=i.split or "train") for i in items]
        splits_of: dict[str, set[str]] = {}
        for item, digest in zip(items, digests, strict=True):
            splits_of.setdefault(digest, set()).add(item.split)
        repeated = sum(len(names) > 1 for names in splits_of.values())
        if repeated:
            logging.warning(
                "%d images occur in two splits, under two names: the scores will look "
                "better than they are.",
                repeated,
            )
        return Division(items, "as given by the user", repeated, [])
    groups = splits.join([item.group for item in items], digests)
    area, kinds = _areas(plan, labelled)
    if stratify == "image_classes" and not plan.image_classes:
        raise ConfigError(
            "stratify is 'image_classes', but the folder has no classes of whole "
            "images: write them into labels.csv, or use stratify=auto."
        )
    if stratify == "auto" and plan.image_classes:
        stratify = "image_classes"
    elif stratify == "auto":
        stratify = "classes" if len(plan.classes) > 2 else "foreground"
    counts = [objects[k].count for k in labelled] if objects is not None else []
    bins = _strata(plan, labelled, stratify, len(shares), counts, object_bins)
    what = f"objects an image ({', '.join(strata.bin_names(object_bins))})"
    what = {
        "classes": "the rarest class shown",
        "image_classes": "the rarest class of images",
        "objects": what,
    }.get(stratify, stratify)
    chosen = splits.assign(
        [groups[k] for k in labelled],
        kinds,
        area,
        shares=shares,
        seed=seed,
        strata=bins,
    )
    by_group = {groups[k]: name for k, name in zip(labelled, chosen, strict=True)}
    out, refused = [], []
    for item, group in zip(items, groups, strict=True):
        name = by_group.get(group, "train")
        if not item.is_labelled and name != "train":
            why = f"unlabelled, and its group {group!r} is in {name}"
            refused.append({"file": str(item.image), "reason": why})
            name = ""
        out.append(item._replace(split=name, group=group))
    rule = f"{splits.describe(shares)}, by group, stratified by {what}, seed {seed}"
    return Division(out, rule, 0, refused)


def _areas(plan: Plan, labelled: Sequence[int]) -> tuple[list[float], list[int]]:
    """(share of foreground, kind) of each: 0 negative, 1 with a mask, 2 without one.

    A positive without a mask counts as the mean of those that have one.
    """
    shares = [foreground(plan.facts[k], plan.mask_format) for k in labelled]
    bare = [plan.items[k].mask is None and bool(plan.items[k].label) for k in labelled]
    masked = [share for share in shares if share > 0]
    mean = float(np.mean(masked)) if masked else 1.0
    pairs = list(zip(shares, bare, strict=True))
    kinds = [2 if without else int(share > 0) for share, without in pairs]
    return [mean if without else share for share, without in pairs], kinds


def _strata(
    plan: Plan,
    labelled: Sequence[int],
    stratify: str,
    parts: int,
    counts: Sequence[int],
    object_bins: Sequence[int],
) -> list[int] | None:
    """The stratum of each labelled item, None for the bins of foreground areas."""
    if stratify == "foreground":
        return None
    if stratify == "objects":
        stratum = strata.by_objects(counts, object_bins)
        names, what = strata.bin_names(object_bins), "objects an image"
    elif stratify == "image_classes":
        none = (0,) * len(plan.image_classes.names)
        of = [plan.items[k].image_classes or none for k in labelled]
        shown = np.pad(np.array(of) == 1, ((0, 0), (1, 0)))
        stratum = strata.by_rarest_class(shown)
        names = ["no class of images", *plan.image_classes.names]
        what = "the rarest class of images"
    else:
        shown = np.zeros((len(labelled), len(plan.classes)), bool)
        for row, k in zip(shown, labelled, strict=True):
            values = plan.facts[k].values
            if plan.items[k].mask is None and plan.items[k].label:
                row[plan.items[k].label] = True
            if plan.mask_format == "class_ids":
                row[[int(v) for v in values if v < len(row)]] = True
            elif len(values):
                row[1] = bool((values > 0).any())
        stratum = strata.by_rarest_class(shown)
        names = ["no class", *plan.classes[1:]]
        what = "the rarest class that an image shows"
    strata.warn_of_short(stratum, dict(enumerate(names)), what, parts)
    return stratum.tolist()


def shards(plan: Plan, items: list[Item], counts: np.ndarray) -> Shards:
    """Per split, generators of (id, record) for TFDS.

    While those of training run, they add the intensities of its images to `counts`.
    """
    form = Form(
        plan.reading,
        plan.channels,
        plan.mask_format,
        len(plan.classes),
        plan.has_instances,
    )

    def shard(part: list[Item]):
        made = workers.in_order(
            functools.partial(packed, form=form),
            part,
            name=lambda item: str(item.image),
            sizes=[workers.file_size(item.image) for item in part],
            limits=workers.for_pixels(plan.reading.max_pixels),
        )
        for item, (record, levels, pixels) in zip(part, made, strict=True):
            if item.split == "train":
                counts.ravel()[levels] += pixels
            files = {k: io.BytesIO(v) for k, v in record.items() if type(v) is bytes}
            yield item.id, record | files

    out = {}
    for split in SPLITS:
        inside = [k for k, item in enumerate(items) if item.split == split]
        sizes = [plan.facts[k].nbytes for k in inside]
        parts = convert.cut([items[k] for k in inside], sizes, limit=_SHARD_BYTES)
        out[split] = [functools.partial(shard, part) for part in parts]
    return out


def packed(item: Item, form: Form) -> list:
    """[record with PNG bytes, intensities of the image, pixels of each]: of a worker.

    The intensities count on over the channels: level + channel * number of levels.
    """
    example = _example(item, form)
    count = intensity.histogram(example["image"]).ravel()
    levels = np.flatnonzero(count)
    record = records.encode(example)
    files = {k: v.getvalue() for k, v in record.items() if isinstance(v, io.BytesIO)}
    return [record | files, levels, count[levels]]


def objects(plan: Plan, items: list[Item]) -> dict[str, int]:
    """Numbered objects per split."""
    total = dict.fromkeys(SPLITS, 0)
    for item, fact in zip(items, plan.facts, strict=True):
        if item.split:
            total[item.split] += int(np.count_nonzero(fact.values))
    return total


def _example(item: Item, form: Form) -> Example:
    image = images.read_image(item.image, max_pixels=form.reading.max_pixels)
    if image.shape[-1] < form.channels:  # grey among colour
        image = np.repeat(image, form.channels, axis=-1)
    if item.mask is None:
        values = np.zeros(image.shape[:2], np.uint8)
        label = -1 if item.label is None else item.label
        mask = np.full(image.shape[:2], IGNORE if label else 0, np.uint8)
    else:
        values = read_mask(item, form.reading)
        mask = to_classes(values, form.mask_format)
        label = _label(mask, form.classes) if item.label is None else item.label
    example: Example = {
        "image": image,
        "mask": mask,
        "label": label,
        "id": item.id,
        "group": item.group,
    }
    if form.instances:
        ids = read_ids(item, form.reading) if item.instances else values
        wide = bool(ids.size) and int(ids.max()) > 0xFFFF
        example["instances"] = ids.astype(np.uint32 if wide else np.uint16)
    return example


def _label(mask: np.ndarray, classes: int) -> int:
    """1 or 0 where two classes leave no doubt about the whole image, else -1."""
    if classes > 2:
        return -1
    if (mask == 1).any():
        return 1
    return -1 if (mask == IGNORE).any() else 0
