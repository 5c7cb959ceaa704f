"""Scores the objects of a split: one pass to count them, one to draw the worst."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxseg import pictures
from jaxseg.data import objects as ids
from jaxseg.devices import sharding
from jaxseg.evaluation.objects import choose as choosing
from jaxseg.evaluation.objects import count, outlines, result
from jaxseg.evaluation.objects.finding import Finding, at_native, label_map
from jaxseg.inference import whole_split
from jaxseg.labels import IGNORE

_DRAWN = 3  # of the worst images


class Scored(NamedTuple):
    """What is written of the objects of a split."""

    block: dict[str, Any]  # "objects" of eval/<split>.json
    columns: dict[str, list]  # of <split>_per_image.csv
    pictures: dict[str, bytes]  # PNG files by name


def choose(
    scorer: whole_split.Scorer, variables: Any, split: Any, finding: Finding
) -> dict[str, Any]:
    """What is frozen of objects: `choose.choose` on the maps of the split."""
    maps = whole_split.maps(scorer, variables, split)
    return choosing.choose(maps, split, finding, scorer.view)


def score(
    scorer: whole_split.Scorer,
    variables: Any,
    split: Any,
    finding: Finding,
    frozen: Mapping[str, Any],
    *,
    seed: int,
    resamples: int,
) -> Scored:
    """Counts the objects of the split as they were frozen; every process gets all.

    Raises ConfigError where they were chosen on these images under another name.
    """
    counted = count.count_split(
        whole_split.maps(scorer, variables, split), split, frozen, finding, scorer.view
    )
    options = {"seed": seed, "resamples": resamples}
    block = result.assemble(counted, split, frozen, **options)
    places = {name: index for index, name in enumerate(split.ids)}
    shown = {places[row["id"]] for row in block["worst"][:_DRAWN]}
    drawn: dict[str, bytes] = {}
    for index, maps in whole_split.maps(scorer, variables, split, only=shown):
        example = split[index]
        truth, ignore = ids.of_example(example), example["mask"] == IGNORE
        whole, scale = at_native(maps, finding, scorer.view, truth.shape)
        predicted = label_map(whole, finding, frozen, scale)
        picture = outlines.draw(example["image"], truth, predicted, ignore=ignore)
        drawn[_file(index)] = pictures.png(picture)
    drawn = _gathered(drawn)
    for row in block["worst"]:
        if (name := _file(places[row["id"]])) in drawn:
            row["picture"] = name
    return Scored(block, result.per_image(counted), drawn)


def _file(index: int) -> str:
    return f"{index:06d}.png"


def _gathered(drawn: dict[str, bytes]) -> dict[str, bytes]:
    """The files of all processes."""
    own = {
        "index": np.array([int(name[:6]) for name in drawn], np.int64),
        "length": np.array([len(content) for content in drawn.values()], np.int64),
        "content": np.frombuffer(b"".join(drawn.values()), np.uint8),
    }
    out: dict[str, bytes] = {}
    for part in sharding.gather(own):
        ends = np.cumsum(part["length"]).tolist()
        for index, end, length in zip(
            part["index"].tolist(), ends, part["length"].tolist(), strict=True
        ):
            out[_file(index)] = part["content"][end - length : end].tobytes()
    return dict(sorted(out.items()))
