"""Makes the result of a run that learned classes of whole images and no pixels.

Its network says nothing of pixels, so no score of them, no picture and no operating
point is written, and none can be mistaken for one that was trained.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax

from jaxseg import atomic
from jaxseg.evaluation import result as results
from jaxseg.evaluation import tally as tallies
from jaxseg.evaluation.image_classes import score as class_scores
from jaxseg.evaluation.tally import Tally
from jaxseg.run_directory import files, schemas


def score(
    workdir: pathlib.Path,
    tally: Tally,
    frozen: Mapping[str, Any],
    split: Any,
    *,
    step: int,
    seed: int,
    resamples: int,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Scores the split with what was frozen; returns eval/<split>.json.

    `more` are further blocks of it.

    Process 0 writes it, its table of images, and the list of examples, which is empty.
    """
    options = {"seed": seed, "resamples": resamples}
    scores = result(tally, split, step=step)
    scores |= class_scores.blocks(tally, frozen, split, **options) | (more or {})
    if jax.process_index() == 0:
        folder, rows = workdir / "eval", per_image(tally, split)
        chosen = frozen.get("image_classes")
        for title, values in class_scores.columns(tally, chosen).items():
            for row, value in zip(rows, values, strict=True):
                row[title] = value
        files.write(folder / f"{split.name}.json", scores, schemas.Result)
        table = results.csv_of(rows)
        atomic.replace(folder / f"{split.name}_per_image.csv", table)
        files.write_json(folder / f"{split.name}_examples.json", [])
    return scores


def result(tally: Tally, split: Any, *, step: int) -> dict[str, Any]:
    """eval/<split>.json but for its blocks of whole images: facts of the truth alone.

    Raises DataError, with the ids, when an image is missing.
    """
    tallies.check_complete(tally, split.ids)
    return {
        "split": split.name,
        "split_hash": split.hash,
        "step": int(step),
        "pixels_trained": False,
        "images": len(tally.index),
        "positive_images": int(split.positive.sum()),
        "pixels": int(split.pixels.sum()),
        "positive_pixels": int(split.pixels[:, 1:].sum()),
        "ignored_pixels": int(split.sizes.prod(axis=1).sum() - split.pixels.sum()),
        "classes": list(split.classes),
        "operating_point": None,
        "metrics": [],
        "baselines": [],
        "curves": {},
    }


def per_image(tally: Tally, split: Any) -> list[dict[str, Any]]:
    """The first columns of <split>_per_image.csv: what was not measured is None."""
    shows = [None if value < 0 else int(value > 0) for value in tally.label.tolist()]
    return [
        {"id": split.ids[i], "group": split.groups[i], "positive": positive}
        | {"truth_pixels": int(split.pixels[i, 1:].sum()), "predicted_pixels": None}
        for i, positive in zip(tally.index.tolist(), shows, strict=True)
    ]
