"""Opens a prepared data set: a TFDS directory of ArrayRecord files and two sidecars.

`index.csv` names every example with its group, size, pixels per class and digest, so
that samplers and splits never decode an image; `card.json` is the data card
(`preparation/card.py` writes both). What is damaged is a DataError that names the file.
"""

import csv
import dataclasses
import functools
import io
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow_datasets as tfds

from jaxseg.data import records, sealed
from jaxseg.errors import DataError
from jaxseg.labels import Example

_TEXTS = ("id", "group", "split", "pixel_size")  # columns of index.csv, not counts


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """One split of a prepared data set; `split[i]` decodes example i at native size."""

    directory: str
    name: str
    card: dict
    ids: Sequence[str]
    groups: Sequence[str]
    labels: np.ndarray  # i64 [n], image-level; -1 = not labelled
    sizes: np.ndarray  # i64 [n, 2], height and width
    pixels: np.ndarray  # i64 [n, k], labelled pixels per class
    pixel_sizes: np.ndarray | None = None  # f64 [n], micrometres; NaN = not known
    digests: Sequence[str] | None = None  # `content.of_record` of each; None = unknown
    # i8 [n, m]: 1 shows the class of images, 0 does not, -1 unknown; None without such
    image_classes: np.ndarray | None = None
    # tags 1 to 8 by which the images were turned upright; None = they were not kept
    orientations: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Example:
        records_of = source(self.directory, self.name)
        what = f"{self.directory}: {self.name} example {self.ids[index]!r}"
        try:
            record = records_of[int(index)]
            name, group = record["id"].decode(), record["group"].decode()
        except Exception as error:  # RuntimeError, ValueError, KeyError: what it can
            raise sealed.damaged(what, error) from error
        if name != self.ids[index]:
            raise DataError(f"{what} holds {name!r}; prepare the data set again.")
        example: Example = {
            "image": records.from_png(record["image"], self.card["channels"], what),
            "mask": records.from_png(record["mask"], 1, what)[..., 0],
            "label": int(record["label"]),
            "id": name,
            "group": group,
        }
        if "instances" in record:
            height = len(example["mask"])
            example["instances"] = records.instances_from_png(
                record["instances"], height, what
            )
        return example

    @property
    def classes(self) -> list[str]:
        """The name of each class, background first."""
        return self.card["classes"]

    @property
    def image_class_names(self) -> list[str]:
        """The name of each class of whole images; [] where the data set has none."""
        return (self.card.get("image_classes") or {"names": []})["names"]

    @property
    def image_classes_exclusive(self) -> bool:
        """Whether an image of known class is of exactly one of them."""
        return bool((self.card.get("image_classes") or {}).get("exclusive"))

    @property
    def absent(self) -> list[str]:
        """The classes that are declared to occur nowhere."""
        return self.card.get("absent", [])

    @property
    def has_instances(self) -> bool:
        """Whether its examples have object ids."""
        return "objects" in self.card["splits"][self.name]

    @property
    def hash(self) -> str:
        """The SHA-256 of everything the data card counts of this split."""
        return self.card["split_hash"][self.name]

    @property
    def present(self) -> np.ndarray:
        """bool [n, k]: the classes that an image shows: `samplers` read it.

        Without a labelled pixel of a class above 0, an image label above 0 stands for
        the class of that number, or for the last.
        """
        shown = self.pixels > 0
        unseen = np.flatnonzero((self.labels > 0) & ~shown[:, 1:].any(axis=1))
        shown[unseen, np.minimum(self.labels[unseen], shown.shape[1] - 1)] = True
        return shown

    @property
    def image_labels(self) -> np.ndarray:
        """i64 [n]: the image-level labels, read off the masks where none is stored.

        Then it is the class above 0 with most pixels, 0 for a mask that is background
        in every pixel, and -1 where the mask leaves it open.
        """
        foreground, area = self.pixels[:, 1:], self.sizes.prod(1)
        out = np.where(self.pixels[:, 0] == area, 0, -1)
        shown = foreground.any(axis=1)
        out[shown] = 1 + foreground[shown].argmax(axis=1)
        return np.where(self.labels >= 0, self.labels, out)

    @property
    def positive(self) -> np.ndarray:
        """bool [n]: some pixel, or the image label, is of a class above 0."""
        return self.present[:, 1:].any(axis=1)


@functools.lru_cache(maxsize=16)
def source(directory: str, split: str) -> Sequence[dict]:
    """Random access to the stored records of one split, PNG bytes undecoded.

    Raises DataError for a file that is missing or damaged.
    """
    if (pathlib.Path(directory) / sealed.CARD).is_file():  # else it is being prepared
        sealed.check_files(directory, sealed.open_card(directory))
    try:
        builder = tfds.builder_from_directory(directory)
        images = [
            name
            for name, feature in builder.info.features.items()
            if isinstance(feature, tfds.features.Image)
        ]
        undecoded = dict.fromkeys(images, tfds.decode.SkipDecoding())
        return builder.as_data_source(split=split, decoders=undecoded)
    except Exception as error:  # TFDS raises anything at all on damaged files
        raise sealed.damaged(f"{directory}: the split {split!r}", error) from error


def open_split(directory: str | pathlib.Path, split: str) -> Split:
    """A split of the prepared data set in `directory`; DataError where it has none."""
    card = read_card(directory)
    if split not in card["splits"]:
        raise DataError(
            f"{directory} has no split {split!r}, only {sorted(card['splits'])}."
        )
    content = sealed.read(directory, card, sealed.INDEX)
    try:
        return _split(str(directory), split, card, content)
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        path = pathlib.Path(directory) / sealed.INDEX
        raise sealed.damaged(str(path), error) from error


def index_rows(directory: str | pathlib.Path) -> list[dict]:
    """The lines of index.csv, counts as numbers; DataError where they are damaged.

    What is no count stays text: id, group, split, pixel_size and digests.
    """
    content = sealed.read(directory, read_card(directory), sealed.INDEX)
    try:
        lines = csv.DictReader(io.StringIO(content.decode(), newline=""))
        return [
            {k: v if k in _TEXTS or k.endswith("sha256") else int(v) for k, v in row}
            for row in map(dict.items, lines)
        ]
    except (AttributeError, ValueError, TypeError, csv.Error) as error:
        path = pathlib.Path(directory) / sealed.INDEX
        raise sealed.damaged(str(path), error) from error


def _split(directory: str, name: str, card: dict, content: bytes) -> Split:
    text = io.StringIO(content.decode(), newline="")
    rows = [row for row in csv.DictReader(text) if row["split"] == name]
    rows.sort(key=lambda row: int(row["position"]))
    if [int(row["position"]) for row in rows] != list(
        range(card["splits"][name]["images"])
    ):
        raise ValueError(f"{len(rows)} rows of {name} are there")
    columns = [f"c{k}" for k in range(len(card["classes"]))]
    digests = [row.get("pixels_sha256") for row in rows]
    turned = [row.get("orientation") for row in rows]
    whole = [
        f"i{m}" for m in range(len((card.get("image_classes") or {}).get("names", ())))
    ]
    return Split(
        directory=directory,
        name=name,
        card=card,
        ids=[row["id"] for row in rows],
        groups=[row["group"] for row in rows],
        labels=np.array([int(row["label"]) for row in rows]),
        sizes=np.array([[int(row["height"]), int(row["width"])] for row in rows]),
        pixels=np.array([[int(row[c]) for c in columns] for row in rows]),
        pixel_sizes=np.array([float(row.get("pixel_size") or "nan") for row in rows]),
        digests=digests if all(digests) else None,
        image_classes=np.array([[int(r[c]) for c in whole] for r in rows], np.int8)
        if whole
        else None,
        orientations=[int(tag) for tag in turned] if all(turned) else None,
    )


def read_card(directory: str | pathlib.Path) -> dict:
    """The data card of a prepared data set; DataError when it is not there or whole."""
    return sealed.open_card(directory)
