"""Turns images of surfaces, with masks or labels alone, into a prepared data set.

What the data sets of defects share: one class above the background, grey masks that are
cut at half of their range, images of which only a label is there, and a validation
split that is made from train where none is given.
"""

import functools
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from jaxseg.data import intensity
from jaxseg.data.files import images
from jaxseg.data.files.listing import raise_all
from jaxseg.data.preparation import card, convert, splits, tfds_builder
from jaxseg.errors import DataError
from jaxseg.labels import IGNORE, Example

_BARE = 255  # the kind of a positive without a mask, where splits are made
_JPEG = (".jpg", ".jpeg")


class Source(NamedTuple):
    """One image, relative to the folder of the data set, before it is opened."""

    id: str
    image: str
    mask: str  # "" without one
    split: str  # train, validation, test; "" = to be made
    label: int | None  # what the layout says: 0, a class, or None = what the mask says
    group: str = ""  # "" = the image alone
    stays: bool = False  # it is not moved from train to validation
    note: str = ""  # for `mask_of` of another form

    @property
    def files(self) -> tuple[str, ...]:
        """The image, and the mask where there is one."""
        return (self.image, self.mask) if self.mask else (self.image,)


def rows(
    sources: Sequence[Source],
    root: pathlib.Path,
    part: pathlib.Path,
    *,
    one: Callable[[convert.Job], tuple[Example, dict]],
    progress: bool,
) -> list[dict]:
    """A row of `convert.convert` for each source; DataError with all that are unfit.

    Grey images among colour ones are repeated into three channels.
    """
    out = _rows(sources, root, part, one, progress, colour=False)
    if len({row["channels"] for row in out}) > 1:
        out = _rows(sources, root, part, one, progress, colour=True)
    return out


def _rows(sources, root, part, one, progress, *, colour: bool) -> list[dict]:
    jobs = [
        convert.Job(s.id, s.files, json.dumps([s.label, s.group, colour, s.note]))
        for s in sources
    ]
    out, refused = convert.convert(
        jobs, one, source=root, cache=part / "cache", progress=progress
    )
    if refused:
        raise_all(root, [row["reason"] for row in refused])
    for row, source in zip(out, sources, strict=True):
        row["split"], row["stays"] = source.split, source.stays
    return out


def example(root: pathlib.Path, job: convert.Job) -> tuple[Example, dict]:
    """(the example of a Source, what is counted in it); Refused for an unfit one.

    Without a mask a negative is background everywhere and a positive not labelled in
    any pixel. Refuses a label that contradicts the mask.
    """
    label, group, colour, _ = json.loads(job.note)
    try:
        picture = images.read_picture(root / job.files[0])
        grey = 0
        if len(job.files) > 1:
            mask, grey = _mask(root, job, picture)
        else:
            mask = np.full(picture.pixels.shape[:2], IGNORE if label else 0, np.uint8)
    except DataError as error:
        raise convert.Refused(str(error)) from error
    if len(job.files) > 1 and label is not None and mask.any() != bool(label):
        path, count = root / job.files[1], np.count_nonzero(mask)
        what = (
            "but its mask is empty" if label else f"but its mask marks {count} pixels"
        )
        kind = "positive" if label else "negative"
        raise convert.Refused(
            f"{path}: its image is {kind}, {what}; correct one of them."
        )
    out = finish(job, picture.pixels, mask, label, group=group, colour=colour)
    return out, {"grey": grey, **columns(out)}


def finish(
    job: convert.Job,
    image: np.ndarray,
    mask: np.ndarray,
    label: int | None,
    *,
    group: str,
    colour: bool,
) -> Example:
    """The example; `label` None = 1 where the mask has foreground, else 0."""
    if colour:
        image = np.repeat(image, 3 // image.shape[-1], axis=-1)
    elif (image == image[..., :1]).all():
        image = image[..., :1]
    return {
        "image": np.ascontiguousarray(image),
        "mask": mask,
        "label": int(mask.any()) if label is None else label,
        "id": job.id,
        "group": group or job.id,
    }


def columns(example: Example) -> dict:
    """What a row counts of every example."""
    return {"intensity": intensity.histogram(example["image"]).tolist()}


def _mask(root, job: convert.Job, picture: images.Picture) -> tuple[np.ndarray, int]:
    """(mask u8 of 0 and 1, its grey pixels between the ends)."""
    path = root / job.files[1]
    labels = images.read_labels(path, threshold=True)
    if wrong := images.different(root / job.files[0], picture, path, labels):
        raise DataError(wrong)
    values = images.alone(path, labels)
    top, high = (255 if values.dtype == np.uint8 else 65535), int(values.max())
    mask = values > top / 2
    if high and not mask.any():
        raise DataError(
            f"{path} holds values up to {high}, none above half of its range "
            f"({top / 2}), so all of it would be background; save it as 0 and 255."
        )
    if path.suffix.lower() in _JPEG:  # its greys are cut when it is read
        values = images.read_picture(path).pixels[..., 0]
    grey = int(np.count_nonzero((values > 0) & (values < top)))
    return mask.astype(np.uint8), grey


def divide(rows: list[dict], *, shares: Mapping[str, float], seed: int) -> None:
    """Sets the split of the rows: of those in train, or of all without a split.

    `shares` name the splits to be made. Equal images and groups stay together, and so
    do rows with `stays` in train. Positives without a mask are a kind of their own.
    """
    free = [row for row in rows if row["split"] in ("", "train")]
    kinds = [
        _BARE if row["label"] > 0 and not row["area"] else row["label"] for row in free
    ]
    areas = [row["area"] for row in free if row["area"]]
    mean = float(np.mean(areas)) if areas else 1.0
    groups = splits.join([r["group"] for r in free], [r["digest"] for r in free])
    held = {g for g, row in zip(groups, free, strict=True) if row["stays"]}
    moving = [k for k, group in enumerate(groups) if group not in held]
    chosen = splits.assign(
        [groups[k] for k in moving],
        [kinds[k] for k in moving],
        [free[k]["area"] or mean for k in moving],
        shares=shares,
        seed=seed,
    )
    for row, group in zip(free, groups, strict=True):
        row["split"], row["group"] = "train", group
    for k, split in zip(moving, chosen, strict=True):
        free[k]["split"] = split


def in_two_splits(rows: Sequence[dict]) -> list[str]:
    """One line for each image that is in a second split under another name."""
    first: dict[str, dict] = {}
    out = []
    for row in rows:
        other = first.setdefault(row["digest"], row)
        if other["split"] != row["split"]:
            out.append(
                f"{row['id']} ({row['split']}) is the same image as {other['id']} "
                f"({other['split']}); keep it in one split."
            )
    return out


def store(
    kind: type[tfds_builder.Builder],
    rows: list[dict],
    part: pathlib.Path,
    *,
    classes: Sequence[str],
    root: pathlib.Path,
    rule: str,
    options: Mapping[str, Any],
    extra: Mapping[str, Any] | None = None,
    image_classes: card.ImageClasses | None = None,
    absent: Sequence[str] = (),
) -> pathlib.Path:
    """The directory of the data set, written below `part` with its card.

    `image_classes` and `absent` are those of `card.finish`.
    """
    channels = rows[0]["channels"]
    dtypes = {row["dtype"] for row in rows}
    dtype = "uint16" if "uint16" in dtypes else "uint8"
    shards = convert.shards(rows, part / "cache", dtype)
    builder = tfds_builder.store(
        kind, part, shards=shards, channels=channels, dtype=dtype
    )
    facts = dict(extra or {})
    if len(dtypes) == 1:
        counts = [np.array(r["intensity"]) for r in rows if r["split"] == "train"]
        facts["intensity"] = intensity.summary(sum(counts))
    card.finish(
        builder,
        classes=classes,
        channels=channels,
        source=str(root),
        split_rule=rule,
        options=options,
        image_classes=image_classes,
        absent=absent,
        extra=facts,
    )
    return pathlib.Path(builder.data_path)


def warn(root: pathlib.Path, counts: Mapping[str, int]) -> None:
    """Logs each count above 0 in words: what the card counts too."""
    for what, count in counts.items():
        if count:
            logging.warning("%s: %s: %d", root, what.replace("_", " "), count)


def build(
    builder: type[tfds_builder.Builder],
    sources: Sequence[Source],
    root: pathlib.Path,
    part: pathlib.Path,
    *,
    classes: Sequence[str],
    options: Mapping[str, Any],
    progress: bool,
) -> pathlib.Path:
    """Stores a data set that gives train and test: validation is made from train.

    `options` has the share of train for `validation` and its `seed`. Images in two
    splits are counted on the data card.
    """
    made = rows(
        sources, root, part, one=functools.partial(example, root), progress=progress
    )
    return store(
        builder,
        made,
        part,
        classes=classes,
        root=root,
        rule=divide_train(made, options),
        options=options,
        extra={"images_in_two_splits": len(in_two_splits(made))},
    )


def divide_train(made: list[dict], options: Mapping[str, Any]) -> str:
    """Takes the validation split from the rows of train; says how, for the card."""
    share, seed = options["validation"], options["seed"]
    divide(made, shares={"train": 1 - share, "validation": share}, seed=seed)
    return (
        f"test as given; of train {share:.3g} for validation, stratified by label and "
        f"area, seed {seed}"
    )
