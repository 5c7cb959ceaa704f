"""Chooses on validation what is frozen for more than two classes."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from absl import logging

from jaxseg.evaluation import class_temperature, count, kept_pixels, offsets
from jaxseg.evaluation import operating_point as points
from jaxseg.evaluation.count import Frozen
from jaxseg.evaluation.kept_pixels import Pixels
from jaxseg.evaluation.tally import Tally


def choose(
    predictions: Iterable[tuple[int, np.ndarray]],
    count_at: Callable[[Frozen], Tally],
    tally: Tally,
    split: Any,
    *,
    rule: str,
    objective: str,
    to_native: count.Resize,
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """(operating point, temperature) of `split`; the point is None for "argmax".

    `predictions` are of this process, `tally` is that of the whole split, and
    `count_at` counts the whole split once more with what it gets.
    """
    pixels = kept_pixels.keep(predictions, tally, split, to_native=to_native)
    scaling = class_temperature.fit(pixels, split)
    if rule == "argmax":
        return None, scaling
    return point(pixels, count_at, tally, split, objective=objective), scaling


def point(
    pixels: Pixels,
    count_at: Callable[[Frozen], Tally],
    tally: Tally,
    split: Any,
    *,
    objective: str,
) -> dict[str, Any]:
    """The offsets of a high objective, the mean over the present foreground classes.

    They are searched on the kept `pixels` and then counted exactly on all of `split`:
    that is `value`, beside the `value_argmax` of no offsets. Where argmax is as good,
    all offsets are 0. Without foreground in the truth they are 0 too, with value None,
    and a warning is logged. `pixels_searched` says how many pixels were kept.
    """
    none = [0.0] * tally.num_classes
    found, plain = none, offsets.value(tally, objective)
    value = plain
    if plain is None:
        logging.warning(
            "%s is undefined on %s (no foreground in its truth?): the most probable "
            "class is taken.",
            objective,
            split.name,
        )
    else:
        present = offsets.present_classes(tally)
        found = offsets.search(pixels, present, objective=objective)
        if any(found):
            value = offsets.value(count_at(Frozen(found, None)), objective)
        if not value > plain:
            found, value = none, plain
    return {
        "rule": "offsets",
        "offsets": found,
        "objective": objective,
        "value": value,
        "value_argmax": plain,
        "pixels_searched": len(pixels.label),
        **points.source(split),
    }
