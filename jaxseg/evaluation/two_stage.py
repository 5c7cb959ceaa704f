"""Scores two stages as one: an image is classified, and segmented if that asks for it.

The first stage gives an image a probability of one of its classes. From a threshold on,
which validation chose, the second stage segments it; below, its mask is empty. So what
a case costs that the first stage misses is in every number that is end to end.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from jaxseg.errors import ConfigError
from jaxseg.evaluation import metric_table
from jaxseg.evaluation.tally import Tally
from jaxseg.metrics import bootstrap, classification, overlap, paired_test

OBJECTIVES = overlap.METRICS
_SHOWN = ("dice_pooled", "dice_positives", "dice_kaggle")
_WAYS = {
    "segmentation": "the second stage alone, on every image",
    "true_class": "the second stage on the images that truly are of the class",
    "end_to_end": "the second stage on the images that the first stage calls for",
}


class Gate(NamedTuple):
    """Which images the second stage segments; the others are background everywhere."""

    passes: Bool[np.ndarray, "n"]  # by the index of an image in its split
    num_classes: int  # of pixels: the first maps that are predicted


def apply(gate: Gate, index: int, row: Float[np.ndarray, "h w n"]) -> np.ndarray:
    """The maps of an image as they are, or of one that is background for sure."""
    if gate.passes[index]:
        return row
    out = np.array(row)
    out[..., : gate.num_classes] = 0
    out[..., 0] = 1
    return out


def choose(
    probability: Float[np.ndarray, "n"],
    segmented: Mapping[str, np.ndarray],
    emptied: Mapping[str, np.ndarray],
    *,
    objective: str = "dice_pooled",
) -> dict[str, Any]:
    """{"threshold", "objective", "value"}: the best threshold of the first stage.

    `segmented` and `emptied` are {tp, fp, fn, tn: i64 [n]} of a pixel class, with every
    image segmented and with none. Tried is the
    probability of every image, from the highest; ties go to the highest, which
    segments the fewest images. Where no threshold defines the objective all images
    pass. Raises ConfigError for an objective that is none.
    """
    if objective not in OBJECTIVES:
        raise ConfigError(
            f"the objective of the first stage is {objective!r}: choose one of "
            f"{', '.join(OBJECTIVES)}."
        )
    cuts = np.unique(probability)[::-1]
    values = [
        overlap.value(objective, _mixed(probability >= t, segmented, emptied))
        for t in cuts
    ]
    defined = [v for v in values if v is not None]
    if not defined:
        return {"threshold": 0.0, "objective": objective, "value": None}
    best = values.index(max(defined))
    return {
        "threshold": float(cuts[best]),
        "objective": objective,
        "value": float(values[best]),
    }


def counts_of(tally: Tally, label: int) -> dict[str, np.ndarray]:
    """{tp, fp, fn, tn: i64 [n]} of one class of pixels, of a tally at its point."""
    return metric_table.of_class(tally, label)


def _mixed(
    passes: Bool[np.ndarray, "n"],
    segmented: Mapping[str, np.ndarray],
    emptied: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    return {k: np.where(passes, segmented[k], emptied[k]) for k in segmented}


def assemble(
    probability: Float[np.ndarray, "n"],
    truth: np.ndarray,
    segmented: Mapping[str, np.ndarray],
    emptied: Mapping[str, np.ndarray],
    groups: Sequence[str],
    frozen: Mapping[str, Any],
    *,
    compute: Mapping[str, float],
    seed: int = 0,
    resamples: int = bootstrap.RESAMPLES,
) -> dict[str, Any]:
    """Assembles "two_stage" of eval/<split>.json.

    `truth` i8 [n] is 1 where an image is of the class, 0 where not, -1 where unknown;
    `compute` the FLOPs an image of "classify" and "segment". Besides the three ways of
    `_WAYS` it holds the difference of end to end and segmentation alone, on the same
    resamples of the groups.
    """
    passes = probability >= frozen["threshold"]
    chosen = {
        "segmentation": np.ones(len(passes), bool),
        "true_class": truth == 1,
        "end_to_end": passes,
    }
    counts = {way: _mixed(which, segmented, emptied) for way, which in chosen.items()}
    drawn = {
        way: _drawn(one, groups, seed=seed, resamples=resamples)
        for way, one in counts.items()
    }
    rows = [
        {"way": way, "detail": detail, "segmented": int(chosen[way].sum())}
        | {"false_pixels": int(counts[way]["fp"][truth == 0].sum())}
        | {"metrics": _metrics(counts[way], drawn[way])}
        for way, detail in _WAYS.items()
    ]
    return {
        **frozen,
        "images": len(passes),
        "flow": _flow(passes, truth),
        "ways": rows,
        "gain": _gain(counts, drawn, len(set(groups))),
        "compute": _saved(passes, compute),
    }


def _metrics(
    counts: Mapping[str, np.ndarray], drawn: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    out = []
    for name in _SHOWN:
        value = overlap.value(name, counts)
        low, high = bootstrap.interval(drawn[name])
        if value is None or not drawn[name].size:
            low = high = None
        row = {"name": name, "value": value, "low": low, "high": high}
        out.append(row | {"policy": overlap.policy(name)})
    return out


def _drawn(counts, groups, *, seed: int, resamples: int) -> dict[str, np.ndarray]:
    if len(set(groups)) < 2:
        return {name: np.zeros(0) for name in _SHOWN}
    terms = np.stack([overlap.terms(name, **counts) for name in _SHOWN])
    samples = bootstrap.resample(_SHOWN, terms, groups, seed=seed, resamples=resamples)
    return dict(zip(_SHOWN, samples, strict=True))


def _gain(counts, drawn, groups: int) -> list[dict[str, Any]]:
    """What end to end has more than segmentation alone."""
    out = []
    ways = "end_to_end", "segmentation"
    for name in _SHOWN:
        pair = tuple(overlap.value(name, counts[way]) for way in ways)
        samples = tuple(drawn[way][name] for way in ways)
        if None in pair or not samples[0].size:
            continue
        test = paired_test.difference(pair, samples, groups)
        out.append({"name": name} | {k: test[k] for k in ("value", "low", "high", "p")})
    return out


def _flow(passes: Bool[np.ndarray, "n"], truth: np.ndarray) -> dict[str, Any]:
    """How many images go which way, by what they truly are."""
    table = {
        name: [int((of & passes).sum()), int((of & ~passes).sum())]
        for name, of in (
            ("of_the_class", truth == 1),
            ("others", truth == 0),
            ("unknown", truth < 0),
        )
    }
    right, all_of = table["of_the_class"][0], sum(table["of_the_class"])
    low, high = classification.wilson(right, all_of)
    sensitivity = right / all_of if all_of else None
    return table | {"sensitivity": sensitivity, "low": low, "high": high}


def _saved(
    passes: Bool[np.ndarray, "n"], compute: Mapping[str, float]
) -> dict[str, Any]:
    """FLOPs of both stages against those of segmenting every image."""
    share = float(passes.mean())
    spent = compute["classify"] + share * compute["segment"]
    return {
        "classify_flops": compute["classify"],
        "segment_flops": compute["segment"],
        "share_segmented": share,
        "relative_to_segmenting_all": spent / compute["segment"],
    }
