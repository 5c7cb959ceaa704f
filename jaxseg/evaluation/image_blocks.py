"""What a result says beyond pixels at one point: whole images, rules, thresholds."""

from collections.abc import Mapping
from typing import Any

from jaxseg.evaluation import (
    decided_masks,
    image_level,
    operating_point,
    overlap_rows,
    tolerant_truth,
)
from jaxseg.evaluation.tally import Decided, Tally


def choose(
    tally: Tally, split: Any, point: Mapping[str, Any] | None, *, objective: str
) -> dict[str, Any]:
    """ "image" of operating_point.json, from validation at its operating point.

    With a decision head and a rule of thresholds also how masks are whitened.
    """
    frozen = image_level.choose(tally, split)
    thresholds = tally.num_classes == 2 and point and "settings" not in point
    if thresholds and image_level.has_decision(tally):
        plain = operating_point.apply(tally, dict(point), split)
        chosen = decided_masks.choose(plain, tally, frozen, objective=objective)
        frozen["whitening"] = chosen
    return frozen


def of_counts(
    plain: Decided,
    tally: Tally,
    frozen: Mapping[str, Any],
    split: Any,
    *,
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    """Blocks of eval/<split>.json that need counts alone; without those that are not.

    `plain` is `tally` at the operating point. {} for a run that was frozen by an
    earlier version, whose result is as it was.
    """
    if "image" not in frozen:
        return {}
    options = {"seed": seed, "resamples": resamples}
    blocks = {
        "image_level": image_level.assemble(tally, frozen["image"], split, **options)
    }
    if tally.num_classes == 2:
        chosen = frozen["image"]
        blocks["post_processing"] = decided_masks.assemble(plain, tally, chosen)
        table = {"policy": overlap_rows.POLICY, **overlap_rows.support(tally)}
        blocks["by_threshold"] = table | {"rows": overlap_rows.by_threshold(tally)}
    return {name: block for name, block in blocks.items() if block is not None}


def of_pixels(
    scores: Mapping[str, Any],
    tally: Tally,
    measured: tolerant_truth.Measured,
    split: Any,
    *,
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    """The blocks that need every pixel: the table with a tolerance, and AUPRO.

    `scores` are those of `of_counts`, `measured` what `surfaces.measure` returned.
    """
    if "by_threshold" not in scores or "dilated" not in measured:
        return {}
    rows = tolerant_truth.by_threshold(tally, measured)
    policy = f"{tolerant_truth.POLICY}. {overlap_rows.POLICY}"
    options = {"seed": seed, "resamples": resamples}
    return {
        "by_threshold_dilated": scores["by_threshold"]
        | {"policy": policy, "rows": rows},
        "region_overlap": tolerant_truth.of_regions(tally, measured, split, **options),
    }
