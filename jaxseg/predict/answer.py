"""What the ensemble says of one image, at the size of that image, and how surely."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from jaxseg.errors import NotFinite
from jaxseg.inference import image
from jaxseg.postprocess import decision
from jaxseg.predict.ensemble import Group


class Answer(NamedTuple):
    """Classes, probabilities and confidence of one image."""

    classes: UInt8[np.ndarray, "h w"]  # by the frozen operating point
    probability: Float[np.ndarray, "h w k"]
    confidence: Float[np.ndarray, "h w"]  # the probability of the chosen class
    maps: Float[np.ndarray, "h w n"]  # the probabilities, and the maps behind them
    scale: float  # pixels of the image that one pixel has become that a network sees
    # probability that the image shows foreground; None without a decision head
    image_score: float | None = None


def of_groups(
    maps: Sequence[Float[np.ndarray, "height width n"]],
    groups: Sequence[Group],
    operating_point: dict[str, Any] | None,
    native: tuple[int, int],
) -> Answer:
    """The Answer for an image of `native` size (h, w), from what each group said.

    Maps are means over all members, each brought to the native size first; so is the
    image score, of what each says at the size that it sees.
    """
    k, wanted = groups[0].classes, groups[0].maps
    total = image.maps_at_native(maps[0], groups[0].view, native, k)
    if len(groups) > 1:
        total = total * np.float32(groups[0].members)
        for one, group in zip(maps[1:], groups[1:], strict=True):
            more = image.maps_at_native(one, group.view, native, k)
            total += more * np.float32(group.members)
        total /= np.float32(sum(group.members for group in groups))
    check(total)
    total = total[..., :wanted]
    probability = total[..., :k]
    classes = decision.decide(probability, operating_point)
    sure = of_chosen(probability, classes)
    scale = native[0] / maps[0].shape[0]
    decided = [image.decided(one[..., wanted:]) for one in maps]
    if None in decided:
        return Answer(classes, probability, sure, total, scale)
    members = [group.members for group in groups]
    score = float(np.average(decided, weights=members))
    return Answer(classes, probability, sure, total, scale, score)


def check(probability: Float[np.ndarray, "h w k"]) -> None:
    """Raises NotFinite for probabilities that are no numbers, as scoring does."""
    if not np.isfinite(probability).all():
        raise NotFinite(
            "the run predicts numbers that are not finite: its training has diverged, "
            "or an image is far from those it was trained on. Nothing was written of "
            "this image."
        )


def of_chosen(
    probability: Float[np.ndarray, "h w k"], classes: UInt8[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w"]:
    """The probability of the class that each pixel got."""
    if probability.shape[-1] == 2:
        return np.where(classes, probability[..., 1], probability[..., 0])
    return np.take_along_axis(probability, classes[..., None].astype(np.intp), -1)[
        ..., 0
    ]


class Sums(NamedTuple):
    """Sums over pixels, from which the row of an image in the table follows."""

    pixels: list[int]  # of each class
    confidence: float  # sum over the predicted foreground
    score: float  # the highest probability of foreground
    image_score: float | None = None  # of a decision head


def sums(
    classes: UInt8[np.ndarray, "h w"],
    probability: Float[np.ndarray, "h w k"],
    confidence: Float[np.ndarray, "h w"],
    image_score: float | None = None,
) -> Sums:
    """The Sums of a whole image, or of some of its rows."""
    k = probability.shape[-1]
    count = np.bincount(classes.ravel(), minlength=k)
    inside = confidence[classes > 0]
    # as scoring has it: max_probability
    foreground = probability[..., 1] if k == 2 else 1 - probability[..., 0]
    return Sums(
        count.tolist(),
        float(inside.sum(dtype=np.float64)),
        float(foreground.max(initial=0)),
        image_score,
    )


def image_confidence(of: Sums) -> float:
    """How sure the answer is, from 0 to 1: the lowest are to be looked at first.

    The mean confidence of the predicted foreground; where nothing is predicted, one
    minus the highest probability of foreground.
    """
    foreground = sum(of.pixels[1:])
    return of.confidence / foreground if foreground else 1 - of.score
