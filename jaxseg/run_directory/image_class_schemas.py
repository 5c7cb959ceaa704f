"""The shapes of what the files of a run say of classes of whole images.

The "image_classes" of eval/<split>.json and of operating_point.json are there where the
data set has such classes and the network has an output for each of them. A number is
None where it is undefined, as every ranking is of a class that no image shows.
"""

from typing import Literal, TypedDict

from jaxseg.run_directory.image_schemas import Confusion, ImageMetric
from jaxseg.run_directory.object_schemas import Number


class FrozenClass(TypedDict):
    """The threshold that validation chose for one class."""

    name: str
    threshold: Number  # shown from it on; None: validation has one kind of image
    value: Number  # of the objective


class FrozenTemperature(TypedDict):
    """What softens the probabilities, fitted by log loss on validation."""

    value: Number  # None: no image of validation has a known class
    log_loss_before: Number
    log_loss_after: Number
    at_limit: bool  # the log loss still falls at an end of the search


class ImageClassChoice(TypedDict):
    """What validation chose: "image_classes" of operating_point.json."""

    names: list[str]
    exclusive: bool
    objective: Literal["f1"]
    classes: list[FrozenClass]  # one for each name, in order
    temperature: FrozenTemperature
    source_split: str
    split_hash: str


# "not" is a word of Python
Support = TypedDict("Support", {"shows": int, "not": int, "unknown": int})
Support.__doc__ = "How many images show a class, do not, or are not known to."


class ClassScore(TypedDict):
    """How one class is told from the rest, at the frozen threshold of that class."""

    name: str
    support: Support
    threshold: Number
    source_split: str
    optimistic: bool
    counts: Confusion | None  # None without a threshold
    # roc_auc, average_precision, sensitivity, specificity, precision, f1; value None
    # of a class that no image shows: n/a (support 0)
    metrics: list[ImageMetric]


class ClassMean(TypedDict):
    """A number of all classes together; `support_classes` say of how many."""

    name: str  # roc_auc_mean, average_precision_mean, f1_macro, accuracy, ...
    value: Number
    low: Number
    high: Number
    support_classes: int  # that the mean is of, out of all: "2 of 3" in the policy
    support_images: int
    policy: str


class ClassBaseline(TypedDict):
    """What an answer without a model scores on the same images."""

    name: str  # always_positive; majority_class of exclusive classes
    detail: str
    metrics: dict[str, Number]  # accuracy, balanced_accuracy, f1_macro, ...
    classes: dict[str, dict[str, Number]]  # {name of a class: metrics}


# "from" is a word of Python
ReliabilityRow = TypedDict(
    "ReliabilityRow",
    {"from": float, "to": float, "mean": Number, "observed": Number, "count": int},
)
ReliabilityRow.__doc__ = "Probabilities of one interval, beside the observed share."


class CalibrationFigures(TypedDict):
    """How far probabilities can be taken at their word."""

    ece: Number
    log_loss: Number
    brier: Number
    support: int  # answers that were compared
    bins: list[ReliabilityRow]


class ImageClassCalibration(TypedDict):
    """The probabilities as predicted, and softened by the frozen temperature."""

    policy: str  # what is compared with what
    before: CalibrationFigures
    after: CalibrationFigures | None  # None without a temperature
    temperature: Number
    at_limit: bool
    source_split: str
    optimistic: bool


class ClassCurves(TypedDict):
    """Points of the curves of one class, at most 101 each; [] where undefined."""

    name: str
    roc: list[list[float]]  # [false-positive rate, sensitivity], from (0, 0)
    pr: list[list[float]]  # [recall, precision], from the highest score on


class ImageClassResult(TypedDict):
    """ "image_classes" of eval/<split>.json."""

    names: list[str]
    exclusive: bool  # every image of known class is of exactly one
    images: int  # with a known answer for any class
    unknown: list[int]  # images of which it is not known, of each class
    classes: list[ClassScore]  # one for each name, in order
    means: list[ClassMean]
    # truth x most probable class, exclusive classes only
    confusion: list[list[int]] | None
    baselines: list[ClassBaseline]
    calibration: ImageClassCalibration
    curves: list[ClassCurves]
