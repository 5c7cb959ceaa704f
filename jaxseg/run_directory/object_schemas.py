"""The shapes of what eval/<split>.json says of objects, for runs that look for them.

A number is None where it is undefined, as the F1 of images without any object is.
"""

from typing import Any, Literal, NotRequired, TypedDict

Number = float | None


class ObjectMetric(TypedDict):
    """One score of objects or of their counts, with its interval over images."""

    name: str
    value: Number
    low: Number
    high: Number
    support_images: int
    policy: str
    better: Literal["higher", "lower", "zero"]


class ObjectSupport(TypedDict):
    """What the scores of objects rest on."""

    images: int
    true_objects: int
    predicted_objects: int


class ByThreshold(TypedDict):
    """Scores over all images, one of each at each IoU threshold."""

    precision: list[Number]
    recall: list[Number]
    f1: list[Number]
    accuracy: list[Number]
    panoptic_quality: list[Number]
    mean_true_score: list[Number]
    mean_matched_score: list[Number]


class CountAgreement(TypedDict):
    """Agreement of predicted with true counts (Bland and Altman, 1986)."""

    images: int
    images_positive: int
    true_objects: int
    predicted_objects: int
    mae: Number
    mean_relative_error_positives: Number
    bias: Number
    sd: Number
    low: Number
    high: Number
    r2: Number
    policy: dict[str, str]


class Sizes(TypedDict):
    """Equivalent diameters of all objects, as a histogram of n rows and n + 1 edges."""

    edges: list[float]
    true: list[int]
    predicted: list[int]
    distance: Number  # Wasserstein-1
    mean_true: Number
    mean_predicted: Number


class Densities(TypedDict):
    """Objects an area: all that show, and by two rules that the edge does not bias."""

    naive: Number
    frame: Number
    weighted: Number


class Undecided(TypedDict):
    """Objects of the counting frame that the edge of their image cuts."""

    true: int
    predicted: int


class DensityRecord(TypedDict):
    """Objects an area, and the counting frame that they were counted in."""

    unit: Literal["mm2", "megapixel"]
    margin_px: int
    images: int  # large enough for a frame
    true: Densities
    predicted: Densities
    undecided: Undecided


class PatternRecord(TypedDict):
    """How centroids lie to their nearest neighbours (Clark and Evans, 1954)."""

    images: int
    points: int
    mean_distance: Number
    index: Number
    index_uncorrected: Number
    z: Number


class Neighbours(TypedDict):
    """The pattern of the true and of the predicted objects."""

    true: PatternRecord
    predicted: PatternRecord
    policy: str


class ObjectBaseline(TypedDict):
    """What objects without a model score on the same images."""

    name: str
    detail: str
    metrics: dict[str, Number]


class WorstImage(TypedDict):
    """One of the images in which objects were counted or found worst."""

    id: str
    true: int
    predicted: int
    f1_50: Number
    aji: Number
    picture: NotRequired[str | None]  # a file in eval/<split>_objects/


class ObjectResult(TypedDict):
    """What was scored of the objects of a split, at a frozen rule of objects."""

    rule: str
    settings: dict[str, Any]
    cleaning: dict[str, Any]
    objective: str
    value: Number  # of the objective, on the split that chose the settings
    optimistic: bool  # whether these images chose them
    source_split: str
    split_hash: str
    truth: str  # "object ids", or what stands in for them
    unit: Literal["um", "px"]  # of sizes and distances
    support: ObjectSupport
    metrics: list[ObjectMetric]
    thresholds: list[float]
    by_threshold: ByThreshold
    agreement: CountAgreement
    sizes: Sizes
    density: DensityRecord
    neighbours: Neighbours
    baselines: list[ObjectBaseline]
    worst: list[WorstImage]
