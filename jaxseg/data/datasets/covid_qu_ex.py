"""Prepares COVID-QU-Ex: chest radiographs with masks of the lungs, and of infection.

    Lung Segmentation Data/Lung Segmentation Data/{Train,Val,Test}/
        {COVID-19,Non-COVID,Normal}/{images,lung masks}/*.png
    Infection Segmentation Data/Infection Segmentation Data/{Train,Val,Test}/
        {COVID-19,Non-COVID,Normal}/{images,lung masks,infection masks}/*.png

An image and its masks have the same name. Tahir et al., COVID-19 infection localization
and severity grading from chest X-ray images, 2021, https://arxiv.org/abs/2103.07985;
https://www.kaggle.com/datasets/anasmohammedtahir/covidqu. Published on the test split,
as means over images: IoU 0.9611 and Dice 0.9799 of the lung, IoU 0.8305 and Dice 0.8821
of infection. Half of the images with infection masks show none of it.

`subset` chooses images: "infection", those with infection masks; "lung", all of them,
without infection masks; "both", all of them, with the infection masks that are there.
`labels` chooses classes of pixels, of _covid_masks.CLASSES. No mask says which pixels
are infected in other pneumonias: with "four_class" class 3 is the whole lung there, as
some have it, and no mask of a lesion. Classes of whole images are normal, covid19 and
non_covid, exactly one each.

The official splits are kept. The published tree tells no patients, so the group of an
image is the image. Nothing is written there.
"""

import functools
import os
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from jaxseg import lookup
from jaxseg.data.datasets import _covid_masks, _covid_source, _defect_source
from jaxseg.data.files.listing import raise_all
from jaxseg.data.phantoms import covid_tree
from jaxseg.data.preparation import build_once, card, class_checks, tfds_builder
from jaxseg.errors import ConfigError

SUBSETS = {
    "infection": ("infection",),
    "lung": ("lung",),
    "both": ("infection", "lung"),
}
IMAGE_CLASSES = tuple(_covid_source.KINDS.values())
_CHOICES = {
    "subset": tuple(SUBSETS),
    "labels": tuple(_covid_masks.CLASSES),
    "duplicates": ("count", "refuse"),
    "empty": ("refuse", "count"),
}
_FOUR = (
    "class 3 (non_covid_lung) is the whole lung of every Non-COVID image and no mask "
    "of a lesion: its scores say how well these lungs are told from others."
)
write_demo = covid_tree.write  # phantom films in the tree that `prepare` reads


class Builder(tfds_builder.Builder):
    """The data set as TFDS stores it; `prepare` makes it from the raw files."""

    name = "covid_qu_ex"
    VERSION = tfds.core.Version("1.0.0")


def prepare(
    source: str | os.PathLike,
    data_dir: str | os.PathLike,
    *,
    progress: bool = True,
    subset: str = "infection",
    labels: str = "infection3",
    absent: str | Sequence[str] = "",
    empty: str = "refuse",
    outside: float = 0.05,
    duplicates: str = "count",
) -> pathlib.Path:
    """The directory of the prepared data set, made from the raw files in `source`.

    Returns at once when it is there already, made from the same files with the same
    options. `source` holds the two top folders, or is one of them, or holds one folder
    that does. `absent` names classes that occur nowhere, such as infection where all
    its masks are empty: they keep their number, and nothing is scored for them. Without
    that an `empty` infection mask of COVID-19 is an error, or counted. `outside` is the
    share of the infected pixels of an image that may lie outside its lung mask. Equal
    images in two splits are counted on the card, or an error with `duplicates`
    "refuse". Raises DataError with all problems of the folder at once, and ConfigError
    for options that cannot be used.
    """
    absent = class_checks.names(absent)
    words = {"subset": subset, "labels": labels, "duplicates": duplicates}
    words |= {"empty": empty}
    for name, choices in _CHOICES.items():
        if words[name] not in choices:
            raise ConfigError(
                f"{name} is {words[name]!r}: {lookup.hint(words[name], choices)}"
            )
    _check(subset, labels, absent, outside)
    options = words | {"absent": absent, "outside": outside}
    source = pathlib.Path(source).expanduser()
    root = _covid_source.root_of(source, SUBSETS[subset])
    ghost = any(name in absent for name in _covid_masks.INFECTIONS)
    note = {"labels": labels, "outside": outside}
    note |= {"empty": "count" if ghost else empty}
    films = _covid_source.find(root, SUBSETS[subset], note)
    build = functools.partial(_build, films, root, options=options, progress=progress)
    return build_once.once(
        Builder,
        source=root,
        files=sorted(name for film in films for name in film.files),
        data_dir=data_dir,
        options=options,
        build=build,
    )


def _check(subset: str, labels: str, absent: Sequence[str], outside: float) -> None:
    """Raises ConfigError for options that do not go together."""
    class_checks.check_absent(absent, _covid_masks.CLASSES[labels])
    if subset == "lung" and labels != "lung":
        raise ConfigError(
            f"labels is {labels!r}, but the lung subset has no infection masks: set "
            "labels=lung, or subset=both or infection."
        )
    if not 0 <= outside <= 1:
        raise ConfigError(
            f"outside is {outside}; give the share of infected pixels that may lie "
            "outside the lung, from 0 to 1."
        )


def _build(
    films: list[_covid_source.Film],
    root: pathlib.Path,
    part: pathlib.Path,
    *,
    options: dict,
    progress: bool,
) -> pathlib.Path:
    one = functools.partial(_covid_masks.example, root)
    rows = _defect_source.rows(films, root, part, one=one, progress=progress)
    two_classes = _in_two_classes(rows)
    rows, copies = _once_each(rows)
    equal = _defect_source.in_two_splits(rows)
    if equal and options["duplicates"] == "refuse":
        advice = "remove one of each pair, or set duplicates=count."
        raise_all(root, [*equal, advice])
    counts = {
        "images_in_two_splits": len(equal),
        "images_in_two_image_classes": two_classes,
        "empty_infection_masks_of_covid19": sum(
            r["kind"] == "covid19" and r["infected_pixels"] == 0 for r in rows
        ),
        "images_with_infection_outside_the_lung": sum(
            r["outside_pixels"] > 0 for r in rows
        ),
        "infected_pixels_outside_the_lung": sum(r["outside_pixels"] for r in rows),
        "empty_lung_masks": sum(r["lung_pixels"] == 0 for r in rows),
    }
    _defect_source.warn(root, counts)
    words = {}
    if options["labels"] == "four_class":
        logging.warning("%s: %s", root, _FOUR)
        words["note"] = _FOUR
    values = np.eye(len(IMAGE_CLASSES), dtype=int).tolist()
    whole = card.ImageClasses(
        IMAGE_CLASSES,
        True,
        {r["id"]: values[IMAGE_CLASSES.index(r["kind"])] for r in rows},
    )
    return _defect_source.store(
        Builder,
        rows,
        part,
        classes=_covid_masks.CLASSES[options["labels"]],
        root=root,
        rule="as given",
        options=options,
        image_classes=whole,
        absent=options["absent"],
        extra={
            **counts,
            **words,
            "lung_images_that_are_infection_images": copies,
            "infected_share_of_lung": _severity(rows),
        },
    )


def _once_each(rows: list[dict]) -> tuple[list[dict], int]:
    """(the rows without lung images that are infection images, how many these were).

    An image of the infection subset keeps its split there, whatever that of its copy.
    """
    annotated = {r["digest"] for r in rows if r["subset"] == "infection"}
    out = [r for r in rows if r["subset"] != "lung" or r["digest"] not in annotated]
    return out, len(rows) - len(out)


def _in_two_classes(rows: list[dict]) -> int:
    """How many different images are there under two classes of images."""
    kinds: dict[str, set[str]] = {}
    for row in rows:
        kinds.setdefault(row["digest"], set()).add(row["kind"])
    return sum(len(names) > 1 for names in kinds.values())


def _severity(rows: list[dict]) -> dict[str, dict[str, float | int]]:
    """{image class: images with both masks, mean infected share of their lungs}.

    Infected pixels outside the lung mask count as lung.
    """
    out = {}
    both = [r for r in rows if r["infected_pixels"] is not None and r["lung_pixels"]]
    for kind in IMAGE_CLASSES:
        of_kind = [r for r in both if r["kind"] == kind]
        shares = [r["infected_pixels"] / r["lung_pixels"] for r in of_kind]
        if shares:
            out[kind] = {"images": len(shares), "mean": float(np.mean(shares))}
    return out
