"""Opens data of elsewhere as one split, with classes in the order that a run has.

Another hospital's images are all new to a run, whatever split they lie in there, so the
splits are joined. Classes go by their names; their numbers may differ.
"""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np

from jaxseg import lookup
from jaxseg.data import content, prepared
from jaxseg.errors import DataError
from jaxseg.labels import IGNORE, Example

_SUMMED = ("images", "positives", "groups", "ignored_pixels", "unlabelled_images")
_SUMMED += ("labelled_images", "label_only_images", "objects")


@dataclasses.dataclass(frozen=True, eq=False)
class OtherSplit(prepared.Split):
    """Splits of one data set, one after another, with classes renumbered."""

    parts: Sequence[prepared.Split] = ()
    ids_of_class: np.ndarray | None = None  # u8 [256]: id there -> id of the run

    def __getitem__(self, index: int) -> Example:
        index = int(index)
        for part in self.parts:
            if index < len(part):
                break
            index -= len(part)
        example = part[index]
        mask = self.ids_of_class[example["mask"]]
        label = example["label"]
        if label >= 0:
            label = int(self.ids_of_class[label])
        return {**example, "mask": mask, "label": label}


def open_split(
    directory: str | pathlib.Path,
    *,
    name: str,
    classes: Sequence[str],
    image_classes: Sequence[str] = (),
    only: Sequence[str] = (),
    verify: str = "sample",
    source: str | os.PathLike = "",
) -> OtherSplit:
    """The images of a prepared data set as a split called `name`.

    `classes` are those of the run, whose order the masks get, and `image_classes` those
    of whole images. `only` names the splits that are wanted; () is all of them.
    `verify` is that of `content.check`, and `source` the raw folder that `directory`
    was prepared from, which sentences on its content then name. Raises DataError for a
    class that one side lacks, for a split that is not there, and for damage.
    """
    source = str(source or directory)
    card = prepared.read_card(directory)
    parts = [prepared.open_split(directory, one) for one in only or card["splits"]]
    content.check(parts, which=verify)
    there = card["classes"]
    _match(there, classes, source, "class", "classes.txt, and --absent of prepare")
    whole = (card.get("image_classes") or {}).get("names") or []
    if image_classes:
        _match(whole, image_classes, source, "class of whole images", "labels.csv")
    to_run = [classes.index(one) for one in there]  # id there -> id of the run
    pixels = np.concatenate([part.pixels for part in parts])
    table = np.full(256, IGNORE, np.uint8)
    table[: len(there)] = to_run
    labels = np.concatenate([part.labels for part in parts])
    shown = None
    if image_classes:
        columns = [whole.index(one) for one in image_classes]
        shown = np.concatenate([part.image_classes for part in parts])[:, columns]
    digests = [part.digests for part in parts]
    split = OtherSplit(
        directory=source,
        name=name,
        card=card,
        ids=_joined(part.ids for part in parts),
        groups=_joined(part.groups for part in parts),
        labels=np.where(labels >= 0, table[np.maximum(labels, 0)].astype(int), -1),
        sizes=np.concatenate([part.sizes for part in parts]),
        pixels=pixels[:, np.argsort(to_run)],
        pixel_sizes=np.concatenate([part.pixel_sizes for part in parts]),
        digests=_joined(digests) if all(digests) else None,
        image_classes=shown,
        parts=tuple(parts),
        ids_of_class=table,
    )
    return dataclasses.replace(split, card=_card(split, classes, image_classes))


def reordered(split: OtherSplit) -> list[str]:
    """The classes in the order they have there; [] where that is the run's."""
    there = list(split.parts[0].classes)
    return [] if there == list(split.classes) else there


def _joined(lists: Iterable[Sequence[str]]) -> list[str]:
    return [one for each in lists for one in each]


def _match(
    there: Sequence[str],
    wanted: Sequence[str],
    directory: str,
    what: str,
    where: str,
) -> None:
    """Raises DataError, naming them, unless both have the same names."""
    missing = [one for one in wanted if one not in there]
    more = [one for one in there if one not in wanted]
    if not missing and not more:
        return
    gaps = [f"has no {what} {one!r}{_near(one, there)}" for one in missing[:1]]
    gaps += [f"has a {what} {one!r} that the run does not know" for one in more[:1]]
    raise DataError(
        f"{directory} {' and '.join(gaps)}. It has {list(there)}, the run "
        f"{list(wanted)}: classes are matched by name, so give the names of the run "
        f"there (in {where} for what no image shows) and prepare again."
    )


def _near(name: str, there: Sequence[str]) -> str:
    """` (did you mean 'cell'?)`; nothing where no name is near, for all are listed."""
    hint = lookup.hint(name, there)
    return f" ({hint})" if hint.startswith("did you mean") else ""


def _card(
    split: OtherSplit, classes: Sequence[str], image_classes: Sequence[str]
) -> dict:
    """The data card of what is scored: one split, and classes as the run has them."""
    card, parts = split.card, split.parts
    rows = [card["splits"][part.name] for part in parts]
    total = {
        key: sum(row.get(key, 0) for row in rows)
        for key in _SUMMED
        if all(key in row for row in rows)
    }
    total["pixels"] = split.pixels.sum(axis=0).tolist()
    total["groups"] = len(set(split.groups))
    out = {
        "name": card["name"],
        "version": card["version"],
        "source": card.get("source", ""),
        "classes": list(classes),
        "channels": card["channels"],
        "dtype": card["dtype"],
        "splits": {split.name: total},
        "split_hash": {split.name: _hash(parts)},
        "sizes": {
            "min": split.sizes.min(axis=0).tolist(),
            "max": split.sizes.max(axis=0).tolist(),
            "distinct": len(np.unique(split.sizes, axis=0)),
        },
        "extra": card["extra"],
    }
    if split.digests is not None:
        digest = content.of_split(split.ids, split.digests)
        out["content"] = {split.name: digest}
    if absent := card.get("absent"):
        out["absent"] = list(absent)
    if image_classes:
        counts = [
            [int((split.image_classes[:, m] == value).sum()) for value in (1, 0, -1)]
            for m in range(len(image_classes))
        ]
        out["image_classes"] = {
            "names": list(image_classes),
            "exclusive": split.image_classes_exclusive,
            "images": {split.name: counts},
        }
    return out


def _hash(parts: Sequence[prepared.Split]) -> str:
    """That of one split is its own, so that it is known again under another name."""
    if len(parts) == 1:
        return parts[0].hash
    return hashlib.sha256("\n".join(part.hash for part in parts).encode()).hexdigest()
