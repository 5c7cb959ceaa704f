"""The shapes of what is written of two stages that were joined into one run."""

from typing import TypedDict

from jaxseg.run_directory.object_schemas import Number

# the folders of both runs, and the members to train, in this order
CLASSIFY, SEGMENT = STAGES = ("classify", "segment")


class TwoStage(TypedDict):
    """two_stage.json: when an image is segmented, as validation chose it."""

    image_class: str  # the first stage gives its probability
    pixel_class: str  # by which the two stages are judged
    threshold: float  # segmented from it on
    objective: str
    value: Number
    source_split: str
    split_hash: str


class Metric(TypedDict):
    """One metric of the pixel class, with its interval."""

    name: str
    value: Number
    low: Number
    high: Number
    policy: str


class Way(TypedDict):
    """The pixel class when these images are segmented."""

    way: str
    detail: str
    segmented: int  # images
    false_pixels: int  # in images that are not of the class
    metrics: list[Metric]


class Gain(TypedDict):
    """What end to end has more than segmenting every image."""

    name: str
    value: Number
    low: Number
    high: Number
    p: Number


class Flow(TypedDict):
    """[segmented, not segmented] images, by what they truly are."""

    of_the_class: list[int]
    others: list[int]
    unknown: list[int]
    sensitivity: Number  # of the first stage; low and high of Wilson, 1927
    low: Number
    high: Number


class Compute(TypedDict):
    """FLOPs an image of the two networks, and what the first one saves."""

    classify_flops: float
    segment_flops: float
    share_segmented: float
    relative_to_segmenting_all: float  # both stages, over segmenting every image


class TwoStageResult(TwoStage):
    """ "two_stage" of eval/<split>.json."""

    images: int
    flow: Flow
    ways: list[Way]
    gain: list[Gain]
    compute: Compute
