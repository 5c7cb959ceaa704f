"""Writes phantom films as the tree of COVID-QU-Ex, with its real names.

    Lung Segmentation Data/Lung Segmentation Data/{Train,Val,Test}/
        {COVID-19,Non-COVID,Normal}/{images,lung masks}/*.png
    Infection Segmentation Data/Infection Segmentation Data/{Train,Val,Test}/
        {COVID-19,Non-COVID,Normal}/{images,lung masks,infection masks}/*.png

As in the real one, the films of the infection subset are films of the lung subset too,
half of them are of COVID-19, and infection masks of the other two classes are empty.
COVID-QU-Ex, 2021, https://www.kaggle.com/datasets/anasmohammedtahir/covidqu
"""

import os
import pathlib
from typing import NamedTuple

import numpy as np
from absl import logging
from PIL import Image

from jaxseg.data.phantoms import _whole_folder, covid
from jaxseg.errors import ConfigError

LUNG, INFECTION = "Lung Segmentation Data", "Infection Segmentation Data"
FOLDERS = {"covid19": "COVID-19", "non_covid": "Non-COVID", "normal": "Normal"}
IMAGES, LUNGS, INFECTIONS = "images", "lung masks", "infection masks"
_FILES = {"covid19": "covid_{}", "non_covid": "non_COVID ({})", "normal": "Normal ({})"}
_SPLITS = ("Train", "Val", "Test", "Train", "Train")  # of consecutive films of a kind
# (kind, whether it is of the infection subset) of 24 consecutive films
_BLOCK = tuple(
    (kind, place < annotated)
    for place in range(8)
    for kind, annotated in (("covid19", 6), ("non_covid", 3), ("normal", 3))
)
_ONE_IN = 5  # films of COVID-19 that show infection, where it is rare
_SCANNER = 5  # stream of random numbers beside those of the films
LETTER = "P"  # what is burned into the films of COVID-19, where a shortcut is planted


class Film(NamedTuple):
    """What is decided about one film before it is drawn."""

    index: int
    kind: str
    annotated: bool  # it is in the infection subset too
    split: str
    scanner: int
    infected: bool


def plan(images: int, *, seed: int, rare: bool = False) -> list[Film]:
    """Return the Films of a tree, a pure function of the arguments.

    A third is of each kind and half are in the infection subset, half of these of
    COVID-19; of every kind in every subset three fifths train and a fifth each is for
    validation and test. Scanners are dealt out evenly, in a random order, within each
    kind and split, so that they tell neither. Where infection is `rare`, a fifth of the
    films of COVID-19 show it: a tenth of the infection subset.
    """
    counts: dict[tuple, int] = {}
    rng = np.random.default_rng((seed, 0, _SCANNER))
    machines: dict[tuple, list[int]] = {}
    out = []
    for index in range(images):
        kind, annotated = _BLOCK[index % len(_BLOCK)]
        split = _SPLITS[_next(counts, kind, annotated) % len(_SPLITS)]
        deck = machines.setdefault((kind, split), [])
        if not deck:
            deck += rng.permutation(len(covid.SCANNERS)).tolist()
        place = _next(counts, kind, annotated, split)
        infected = kind == "covid19" and (not rare or place % _ONE_IN == 0)
        out.append(Film(index, kind, annotated, split, deck.pop(), infected))
    return out


def write(
    directory: str | os.PathLike,
    *,
    images: int,
    size: int = 128,
    seed: int = 0,
    planted: bool = False,
    rare: bool = False,
    absent: bool = False,
) -> None:
    """Write `images` phantom films of size x size pixels to `directory`.

    Images and masks are 8-bit grey PNG files of the same name; masks hold 0 and 255.
    `planted` burns a letter into the films of COVID-19, which gives them away. With
    `rare` infection is seen in a tenth of the films of the infection subset, on 0.5 %
    of the pixels of each; with `absent` in none, and all infection masks are empty. The
    tree is a pure function of the arguments. It appears under its name only when it is
    complete. Raises DataError when `directory` exists already, ConfigError for fewer
    than 24 images, a negative seed, or a size that `covid` cannot draw.
    """
    if images < len(_BLOCK) or seed < 0:
        raise ConfigError(
            f"A tree of {images} images with seed {seed} cannot be written: at least "
            f"{len(_BLOCK)} images, so that each split of both subsets has every "
            "class, and a seed of 0 or more are needed."
        )
    with _whole_folder.folder(directory, what="phantom films") as partial:
        for film in plan(images, seed=seed, rare=rare):
            shown = covid.draw(
                film.index,
                kind=film.kind,
                size=size,
                seed=seed,
                scanner=film.scanner,
                infected=film.infected and not absent,
                small=rare,
                letter=LETTER if planted and film.kind == "covid19" else "",
            )
            name = _FILES[film.kind].format(film.index + 1) + ".png"
            below = pathlib.Path(film.split, FOLDERS[film.kind])
            _save(partial / LUNG / LUNG / below, name, shown, (IMAGES, LUNGS))
            if film.annotated:
                folder = partial / INFECTION / INFECTION / below
                _save(folder, name, shown, (IMAGES, LUNGS, INFECTIONS))
    logging.info("Wrote %d phantom chest radiographs to %s.", images, directory)


def _next(counts: dict[tuple, int], *key) -> int:
    """The number of times that this key was asked for before."""
    counts[key] = counts.get(key, 0) + 1
    return counts[key] - 1


def _save(
    folder: pathlib.Path, name: str, shown: covid.Radiograph, kinds: tuple[str, ...]
) -> None:
    arrays = {IMAGES: shown.image, LUNGS: shown.lung, INFECTIONS: shown.infection}
    for kind in kinds:
        array = arrays[kind]
        if array.dtype == bool:
            array = 255 * array.astype(np.uint8)
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(folder / kind / name)
