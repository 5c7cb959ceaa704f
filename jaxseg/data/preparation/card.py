"""Writes the data card and its tables: a data set, counted from what was stored."""

import csv
import functools
import hashlib
import io
import json
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jaxseg import atomic
from jaxseg.data import content, prepared, records, sealed
from jaxseg.data.preparation import class_checks, workers
from jaxseg.data.preparation import splits as split_table
from jaxseg.data.preparation.class_checks import ImageClasses, is_bare
from jaxseg.errors import DataError
from jaxseg.labels import IGNORE

_WITHOUT = "pixels_sha256 without ids"  # of a row, until the card has it


def finish(
    builder: tfds.core.DatasetBuilder,
    *,
    classes: Sequence[str],
    channels: int,
    source: str,
    split_rule: str,
    refused: Sequence[dict] = (),
    options: Mapping[str, Any] | None = None,
    pixel_sizes: Mapping[str, float | None] | None = None,
    orientations: Mapping[str, int] | None = None,
    image_classes: ImageClasses | None = None,
    absent: Sequence[str] = (),
    extra: Mapping[str, Any] | None = None,
) -> dict:
    """The data card, after reading every stored record back.

    Writes card.json, index.csv and splits.csv beside the data; index.csv holds the
    digest of the pixels of every record, the card that of every split. The extra of the
    card holds the `options` that the data set was prepared with, and `extra`; index.csv
    the `pixel_sizes` ({id: micrometres}) where one is known, the `orientations` ({id:
    tag by which an image was turned upright}) and the `image_classes`.
    `absent` are classes that are declared to occur nowhere: they keep their place in
    `classes`, and the card lists them. Raises DataError for a label value that is no
    class, for an id or a group in two splits, for a class that the training split shows
    in no pixel and in no label of an image unless it is declared absent (or no pixel of
    it is labelled, and it has image classes alone), for one that is declared absent and
    occurs, and for image classes that `class_checks` refuses;
    ConfigError for absent classes that are no foreground class of `classes`.
    """
    class_checks.check_absent(absent, classes)
    directory = pathlib.Path(builder.data_path)
    form = {"classes": classes, "channels": channels}
    rows = list(_index_rows(directory, builder.info.splits, form))
    _check_identity(rows)
    known = {name: size for name, size in (pixel_sizes or {}).items() if size}
    for row in rows if known else ():
        row["pixel_size"] = known.get(row["id"], "")
    for row in rows if orientations else ():
        row["orientation"] = orientations[row["id"]]
    content_of_masks = _content_of_masks(rows)
    if image_classes:
        class_checks.add_image_classes(rows, image_classes, source)
    splits = {
        split: split_summary([r for r in rows if r["split"] == split], len(classes))
        for split in builder.info.splits
    }
    columns = ([row[key] for row in rows] for key in ("id", "group", "split"))
    table, digest = split_table.table(*columns)
    class_checks.check_pixel_classes(
        rows, classes, absent, source, whole=image_classes is not None
    )
    sizes = np.array([[r["height"], r["width"]] for r in rows])
    card = {
        "name": builder.name,
        "version": str(builder.version),
        "source": source,
        "classes": list(classes),
        "channels": channels,
        "dtype": str(np.dtype(builder.info.features["image"].np_dtype)),
        "splits": splits,
        "class_weights": class_weights(splits["train"]["pixels"]),
        "sizes": {
            "min": sizes.min(0).tolist(),
            "max": sizes.max(0).tolist(),
            "distinct": len(np.unique(sizes, axis=0)),
        },
        "split_rule": split_rule,
        "split_hash": {
            s: split_hash([r for r in rows if r["split"] == s]) for s in splits
        },
        "content": {
            s: content_of([r for r in rows if r["split"] == s]) for s in splits
        },
        **content_of_masks,
        **class_checks.described(image_classes, rows),
        **({"absent": list(absent)} if absent else {}),
        "refused": list(refused),
        "extra": {"options": options or {}, "splits_sha256": digest, **(extra or {})},
    }
    atomic.replace(directory / "splits.csv", table.encode())
    _write_index(directory / sealed.INDEX, rows)
    card = sealed.seal(card, directory)
    atomic.replace(directory / sealed.CARD, json.dumps(card, indent=1).encode())
    return card


def _index_rows(
    directory: pathlib.Path, splits: Iterable[str], card: Mapping[str, Any]
) -> Iterator[dict]:
    """A row for every stored record, read back: `card` names classes and channels."""
    with ThreadPoolExecutor(workers.most()) as pool:  # decoders let go of the GIL
        for split in splits:
            stored = prepared.source(str(directory), split)
            one = functools.partial(_index_row, stored, split, card)
            yield from pool.map(one, range(len(stored)))


def _index_row(
    source: Sequence[dict], split: str, card: Mapping[str, Any], position: int
) -> dict:
    record, num_classes = source[position], len(card["classes"])
    name = record["id"].decode()
    mask = records.from_png(record["mask"], 1, name)[..., 0]
    count = np.bincount(mask.ravel(), minlength=256)
    if count[num_classes:IGNORE].any():
        values = np.flatnonzero(count[num_classes:IGNORE]) + num_classes
        raise DataError(
            f"{name}: the mask holds {values.tolist()}; allowed are 0 to "
            f"{num_classes - 1}, and {IGNORE} for unlabelled pixels."
        )
    example = {
        "image": records.from_png(record["image"], card["channels"], name),
        "mask": mask,
    }
    row = {"split": split, "position": position, "id": name}
    row |= {"group": record["group"].decode(), "label": int(record["label"])}
    row |= {"height": mask.shape[0], "width": mask.shape[1]}
    row |= {"ignored": int(count[IGNORE])}
    row |= {f"c{k}": int(count[k]) for k in range(num_classes)}
    if "instances" in record:
        ids = records.instances_from_png(record["instances"], len(mask), name)
        row |= _objects(ids) | {_WITHOUT: content.of_record(example)}
        example["instances"] = ids
    return row | {"pixels_sha256": content.of_record(example)}


def _objects(ids: np.ndarray) -> dict:
    digest = hashlib.sha256(ids.astype("<u4").tobytes()).hexdigest()
    objects = int(np.count_nonzero(np.unique(ids)))
    return {"objects": objects, "instances_sha256": digest}


def _check_identity(rows: list[dict]) -> None:
    ids, groups = {}, {}
    for row in rows:
        if row["id"] in ids:
            raise DataError(f"the id {row['id']!r} occurs twice; ids must be unique.")
        ids[row["id"]] = row["split"]
        other = groups.setdefault(row["group"], row["split"])
        if other != row["split"]:
            raise DataError(
                f"group {row['group']!r} is in {other} and in {row['split']}; a "
                "patient or slide must stay in one split."
            )


def class_weights(pixels: Sequence[int]) -> list[float]:
    """The inverse share of each class of the labelled pixels; 1 for one without any."""
    return [sum(pixels) / (len(pixels) * n) if n else 1.0 for n in pixels]


def split_summary(rows: list[dict], num_classes: int) -> dict:
    """What the card says of a split: images, positives, groups, pixels and labels."""
    pixels = [sum(r[f"c{k}"] for r in rows) for k in range(num_classes)]
    positive = [
        any(r[f"c{k}"] for k in range(1, num_classes)) or r["label"] > 0 for r in rows
    ]
    summary = {
        "images": len(rows),
        "positives": sum(positive),
        "groups": len({r["group"] for r in rows}),
        "pixels": pixels,
        "ignored_pixels": sum(r["ignored"] for r in rows),
        "unlabelled_images": sum(is_bare(r) and r["label"] < 0 for r in rows),
        "labelled_images": sum(r["label"] >= 0 for r in rows),
        "label_only_images": sum(is_bare(r) and r["label"] >= 0 for r in rows),
    }
    if any("objects" in r for r in rows):
        summary["objects"] = sum(r["objects"] for r in rows)
    return summary


def content_of(rows: list[dict]) -> str:
    """The digest of the pixels of all these records."""
    columns = ([row[key] for row in rows] for key in ("id", "pixels_sha256"))
    return content.of_split(*columns)


def _content_of_masks(rows: list[dict]) -> dict[str, dict[str, str]]:
    """{key of the card: {split: digest of its images and masks without object ids}}.

    Empty for a set without ids. Takes the digests out of the rows.
    """
    if not any(_WITHOUT in row for row in rows):
        return {}
    digests = [row.pop(_WITHOUT) for row in rows]
    names = dict.fromkeys(row["split"] for row in rows)
    of = {
        name: [
            (row["id"], digest)
            for row, digest in zip(rows, digests, strict=True)
            if row["split"] == name
        ]
        for name in names
    }
    digest_of = {
        n: content.of_split(*zip(*pairs, strict=True)) for n, pairs in of.items()
    }
    return {content.WITHOUT_OBJECTS: digest_of}


def split_hash(rows: list[dict]) -> str:
    """The SHA-256 of what is counted: the same as in every version before.

    Earlier versions kept no object ids, so these have no part in it; the digests under
    "content" cover them.
    """
    later = ("pixel_size", "pixels_sha256", "objects", "instances_sha256")
    later += ("orientation",)
    counted = [{k: v for k, v in r.items() if k not in later} for r in rows]
    lines = sorted(json.dumps({**r, "position": 0}, sort_keys=True) for r in counted)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _write_index(path: pathlib.Path, rows: list[dict]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic.replace(path, text.getvalue().encode())
