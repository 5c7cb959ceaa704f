"""The shapes of what the files of a run say of whole images, and of rules upon them.

A number is None where it is undefined, as every ranking of images of one kind is.
"""

from typing import Literal, NotRequired, TypedDict

from jaxseg.run_directory.object_schemas import Number

ScoreName = Literal["decision", "segmentation"]


class FrozenScore(TypedDict):
    """The threshold of a score of whole images that validation chose."""

    threshold: Number  # positive from it on; None: validation has one kind of image
    value: Number  # of the objective


class Whitening(TypedDict):
    """The lower threshold of pixels where the decision says yes and the mask no."""

    threshold: float
    objective: str
    value: Number


class ImageChoice(FrozenScore):
    """What validation chose for whole images: "image" of operating_point.json."""

    score: ScoreName  # what decides: the head where there is one
    objective: Literal["f1"]
    segmentation: FrozenScore  # of the highest probability in the image
    whitening: NotRequired[Whitening | None]  # of a run with a decision head
    source_split: str
    split_hash: str


class Confusion(TypedDict):
    """Images by truth and by answer."""

    tp: int
    fp: int
    fn: int
    tn: int


class ImageMetric(TypedDict):
    """One number of a score of whole images, with its interval."""

    name: str
    value: Number
    low: Number
    high: Number
    support_images: int
    policy: str


class OnTheseImages(TypedDict):
    """What a threshold gives that was chosen on the images that are scored."""

    detail: str  # says that it is optimistic
    threshold: Number
    f1: Number
    counts: Confusion | None


class ImageScore(TypedDict):
    """How one score tells positive from negative images."""

    score: ScoreName
    detail: str
    threshold: Number
    source_split: str
    optimistic: bool
    counts: Confusion | None
    metrics: list[ImageMetric]
    on_these_images: OnTheseImages


class Gain(TypedDict):
    """Decision minus segmentation, on the same resamples of the images."""

    name: str
    value: Number
    low: Number
    high: Number
    p: Number


class ImageBaseline(TypedDict):
    """What an answer without a model gives on the same images."""

    name: str
    detail: str
    metrics: dict[str, Number]
    counts: Confusion


class ImageLevel(TypedDict):
    """ "image_level" of eval/<split>.json: there where both kinds of images are."""

    truth: str
    images: int  # with a known label
    positives: int
    negatives: int
    unknown: int
    without_mask: int  # no pixel is labelled: they take no part in scores of pixels
    scores: list[ImageScore]
    gain: list[Gain]  # [] without a decision head
    baselines: list[ImageBaseline]


class OverlapRow(TypedDict):
    """Overlap of pixels by one rule: pooled, and mean and deviation over images."""

    precision: Number
    recall: Number
    f1: Number  # pooled: the same number as the pooled Dice
    iou: Number
    dice_positives: Number
    dice_positives_deviation: Number
    iou_positives: Number
    iou_positives_deviation: Number
    dice_all: Number
    dice_all_deviation: Number
    iou_all: Number
    iou_all_deviation: Number


class RuleRow(OverlapRow):
    """One rule of the post-processing table."""

    name: str
    detail: str
    changed_images: int  # whose mask is another than the plain one


class PostProcessing(TypedDict):
    """What emptying and filling masks by the decision on the image does."""

    policy: str
    images: int  # with a labelled pixel
    positives: int
    rows: list[RuleRow]


class ThresholdRow(OverlapRow):
    """One threshold of the table by threshold."""

    threshold: float


class ByPixelThreshold(TypedDict):
    """Overlap at fixed thresholds of the probability."""

    policy: str
    images: int
    positives: int
    rows: list[ThresholdRow]


class RegionOverlap(TypedDict):
    """AUPRO of a split."""

    value: Number
    low: Number
    high: Number
    limit: float
    regions: int
    images: int  # with a region
    policy: str
