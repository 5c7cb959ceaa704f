"""Cases for doctor: healthy ones, and what spoils them."""

import csv
import dataclasses

import cv2
import numpy as np

from jaxseg.doctor import audit
from jaxseg.doctor.case import Case
from jaxseg.experiment import build, training_plan
from jaxseg.train_step import state, step
from support import runs, tiny

SPLITS = ("train", "validation", "test")


def case(config) -> Case:
    experiment = build.load(config, batch_size=training_plan.batch_size(config))
    return audit.full_case(config, experiment, show=False)


def found(case: Case, *names: str) -> dict:
    """{name: finding} of these checks."""
    return {finding.name: finding for finding in audit.run(case, names)}


def levels(case: Case, *names: str) -> dict[str, str]:
    return {name: finding.level for name, finding in found(case, *names).items()}


def spoiled(case: Case, **changes) -> Case:
    """The case with other parts of its experiment, everything costly made anew."""
    fresh = audit.full_case(
        case.config, case.experiment._replace(**changes), show=False
    )
    return fresh._replace(options=case.options)


def stepping(case: Case, **changes) -> Case:
    """The case with other settings of its train step."""
    settings = case.experiment.settings._replace(**changes)
    compiled = step.compile_step(settings, case.experiment.abstract)
    return spoiled(case, settings=settings, train_step=compiled)


def small(case: Case, **changes) -> Case:
    """The case with a model, with an auxiliary head, that compiles in a second."""
    init = case.experiment.init | {"model": tiny.Model()}
    abstract = state.abstract(case.experiment.mesh, **init)
    twin = spoiled(case, init=init, abstract=abstract)
    return stepping(twin, model=tiny.Model(), **changes)


def splitting(case: Case, **splits) -> Case:
    return spoiled(case, splits=case.experiment.splits | splits)


def picked(split, index):
    """A split of these images of another one, in this order."""
    index = np.asarray(index)
    return dataclasses.replace(
        split,
        ids=[split.ids[i] for i in index],
        groups=[split.groups[i] for i in index],
        labels=split.labels[index],
        sizes=split.sizes[index],
        pixels=split.pixels[index],
    )


def folder(root, *, masks: str = "masks", white: int = 255, extra=()):
    """A folder of 24 images of bright squares, every third one empty.

    `extra` are (stem, split, image, mask) besides.
    """
    rng = np.random.default_rng(0)
    rows = []
    for k in range(24):
        mask = np.zeros((48, 40), np.uint8)
        if k % 3:
            y, x = rng.integers(2, 20, 2)
            mask[y : y + 14, x : x + 12 + k % 5] = white
        image = cv2.resize(rng.integers(0, 120, (6, 5)).astype(np.uint8), (40, 48))
        image[mask > 0] += 100
        split = SPLITS[0 if k < 12 else 1 if k < 18 else 2]
        rows.append((f"a{k:02d}", split, image, mask))
    for stem, _, image, mask in [*rows, *extra]:
        for name, array in (("images", image), (masks, mask)):
            (root / name).mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(root / name / f"{stem}.png"), array)
    with open(root / "splits.csv", "w", newline="") as file:
        table = [(stem, split) for stem, split, _, _ in [*rows, *extra]]
        csv.writer(file).writerows([("stem", "split"), *table])
    return root


def folder_config(directory, **changes):
    return runs.config(
        "folder", **{"data.dir": str(directory), "epochs": 100}, **changes
    )
