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
    # probability of each class of whole images; None for runs that learned none
    image_classes: Float[np.ndarray, "m"] | None = None


def of_groups(
    maps: Sequence[Float[np.ndarray, "height width n"]],
    groups: Sequence[Group],
    operating_point: dict[str, Any] | None,
    native: tuple[int, int],
) -> Answer:
    """The Answer for an image of `native` size (h, w), from what each group said.

    Maps are means over all members, each brought to the native size first; so is what
    they say of the whole image, of what each says at the size that it sees.
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
    whole = _whole_image([one[..., wanted:] for one in maps], groups)
    return Answer(classes, probability, sure, total, scale, *whole)


def background(native: tuple[int, int], maps: int, k: int) -> Answer:
    """The Answer for an image that is not segmented: background everywhere, for sure.

    `maps` is the number of maps, of which the first k are probabilities.
    """
    total = np.zeros((*native, maps), np.float32)
    total[..., 0] = 1
    sure = np.ones(native, np.float32)
    return Answer(np.zeros(native, np.uint8), total[..., :k], sure, total, 1.0)


def emptied(found: Answer) -> Answer:
    """The Answer without foreground: blackening, after a decision that says no.

    The probabilities stay as the network gave them.
    """
    k = found.probability.shape[-1]
    nothing = background(found.classes.shape, found.maps.shape[-1], k)
    sure = found.probability[..., 0]
    return found._replace(classes=nothing.classes, confidence=sure, maps=nothing.maps)


def _whole_image(
    said: Sequence[Float[np.ndarray, "height width n"]], groups: Sequence[Group]
) -> tuple[float | None, Float[np.ndarray, "m"] | None]:
    """(the image score, the probabilities of classes): one of them, or none, is there.

    `said` are the channels of each group behind its maps.
    """
    members = [group.members for group in groups]
    decided = [image.decided(one) for one in said]
    if None not in decided:
        return float(np.average(decided, weights=members)), None
    classes = [
        image.classes_of(one, exclusive=group.exclusive)
        for one, group in zip(said, groups, strict=True)
    ]
    if any(one is None for one in classes):
        return None, None
    mean = np.average(classes, axis=0, weights=members)
    return None, mean.astype(np.float32)


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
    image_classes: tuple[float, ...] | None = None  # of classes of whole images


def sums(
    classes: UInt8[np.ndarray, "h w"],
    probability: Float[np.ndarray, "h w k"],
    confidence: Float[np.ndarray, "h w"],
    image_score: float | None = None,
    image_classes: Float[np.ndarray, "m"] | None = None,
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
        None if image_classes is None else tuple(image_classes.tolist()),
    )


def image_confidence(of: Sums) -> float:
    """How sure the answer is, from 0 to 1: the lowest are to be looked at first.

    The mean confidence of the predicted foreground; where nothing is predicted, one
    minus the highest probability of foreground.
    """
    foreground = sum(of.pixels[1:])
    return of.confidence / foreground if foreground else 1 - of.score
