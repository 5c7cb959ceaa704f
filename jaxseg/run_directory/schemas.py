"""The shapes of the JSON files of a run, and a check that a file has its shape.

A key that is not required was not written by earlier versions, or not for every run.
A number is None where it is undefined, as the Dice of a class without support is.
"""

import types
import typing
from typing import Any, Literal, NotRequired, Required, TypedDict

from jaxseg.errors import DataError
from jaxseg.run_directory import (
    course_schemas,
    evidence_schemas,
    image_class_schemas,
    image_schemas,
    other_data_schemas,
    two_stage_schemas,
)
from jaxseg.run_directory.object_schemas import Number, ObjectResult


class CardSplit(TypedDict):
    """What one split of a prepared data set holds, as counted from what was stored."""

    images: int
    positives: int
    groups: int
    pixels: list[int]  # by class
    ignored_pixels: int
    unlabelled_images: int
    labelled_images: NotRequired[int]  # with a label of the whole image
    label_only_images: NotRequired[int]  # of them, those without a labelled pixel
    objects: NotRequired[int]  # of a set with object ids


class Card(TypedDict):
    """The data card, card.json of a prepared data set."""

    name: str
    version: str
    source: str
    classes: list[str]
    channels: int
    dtype: str
    splits: dict[str, CardSplit]
    class_weights: list[Number]
    sizes: dict[str, Any]
    split_rule: str
    split_hash: dict[str, str]
    content: NotRequired[dict[str, str]]  # digest of the pixels of each split
    content_without_objects: NotRequired[dict[str, str]]  # the same, but for object ids
    refused: list[Any]
    extra: dict[str, Any]


class Chosen(TypedDict, total=False):
    """A block that chooses one of several, each with a block of its own beside it."""

    name: str


class Named(TypedDict):
    """The block of the model: the name, with the fields of models beside it."""

    name: str


class Term(TypedDict):
    """A term of the loss; the weight is a number or a schedule."""

    weight: Any


class ConfigBlocks(TypedDict, total=False):
    """config.json of a run that has begun: what is a block, in any version."""

    auto: dict[str, Any]
    data: dict[str, Any]
    model: Named | None
    loss: dict[str, Term]
    sampler: Chosen
    augment: dict[str, Any]
    supervision: Chosen
    target: Chosen
    decision: Chosen
    objects: dict[str, Any]
    pretrained: dict[str, Any]
    transfer: dict[str, Any]
    optim: Chosen
    eval: dict[str, Any]
    operating_point: dict[str, Any]
    doctor: dict[str, Any]


class Config(ConfigBlocks):
    """config.json of a finished run: the blocks that every version wrote are there."""

    data: Required[dict[str, Any]]
    model: Required[Named]
    loss: Required[dict[str, Term]]
    sampler: Required[Chosen]
    augment: Required[dict[str, Any]]
    optim: Required[Chosen]
    eval: Required[dict[str, Any]]


class SourceFile(TypedDict):
    """A file that a run was made with: its recipe, or a module of the user's own."""

    kind: str  # recipe, or the folder of its kind: models, losses ...
    file: str
    sha256: str
    tracked: bool  # by git, in whatever checkout it lies
    changed: bool  # since it was committed there


class Status(TypedDict):
    """What run.json says of any run: whether it has ended."""

    status: Literal["running", "finished"]


class Record(TypedDict):
    """run.json: what was fixed when the run began, and how it ended."""

    name: str
    recipe: str
    created: str
    finished: str | None
    status: Literal["running", "finished"]
    resumed: int
    masks: NotRequired[str]  # the folder that was scored in place of a run
    note: NotRequired[str]  # what the run is for, in the words of its config
    parent: NotRequired[course_schemas.Parent | None]
    changes: NotRequired[
        list[course_schemas.RecordedChange]
    ]  # of the config, in their order
    epochs: int
    versions: dict[str, Any]
    platform: NotRequired[str]
    git: dict[str, Any] | None  # dirty: also where a file of `sources` is uncommitted
    sources: NotRequired[dict[str, SourceFile]]  # that the revision does not tell
    command: str
    supervision: NotRequired[dict[str, Any] | None]  # the budget of labels
    batch_size: int
    steps_per_epoch: int
    total_steps: int
    params: int
    intensity: NotRequired[str]
    fit: NotRequired[str]  # the one that "auto" became
    class_weights: NotRequired[dict[str, list[float]]]  # of each term that takes any
    dataset: Card
    data_directory: NotRequired[str]
    devices: dict[str, Any]
    best: NotRequired[
        course_schemas.BestEpoch | None
    ]  # from here on: when the run has ended
    early_stop: NotRequired[course_schemas.EarlyStop | None]  # None: it went to the end
    images_seen: NotRequired[int]
    seconds: NotRequired[float]
    skipped_steps: NotRequired[int]
    sampler: NotRequired[dict[str, Any]]
    digests: NotRequired[dict[str, str]]  # {file: SHA-256}
    sha256: NotRequired[str]  # of all the rest of this file


class DecisionRule(TypedDict):
    """The frozen rule that turns probabilities into a mask."""

    threshold: NotRequired[float]
    min_area: NotRequired[float]
    settings: NotRequired[dict[str, Any]]  # of a rule of postprocess/, in their place
    offsets: NotRequired[list[float]]  # one a class, above two classes
    value_argmax: NotRequired[Number]  # of the objective, without offsets
    pixels_searched: NotRequired[int]
    top_threshold: NotRequired[Number]
    gate: NotRequired[Number]
    rule: NotRequired[str]
    objective: str
    value: Number
    source_split: str
    split_hash: str
    optimistic: NotRequired[bool]  # in a result: whether these images chose it


class ObjectChoice(TypedDict):
    """How objects are looked for, as validation chose it."""

    rule: str
    settings: dict[str, Any]
    cleaning: dict[str, Any]
    objective: str
    value: Number
    margin_px: int  # of the counting frame
    baseline: dict[str, Any]
    source_split: str
    split_hash: str


class Conformal(TypedDict):
    """A threshold whose false-negative rate is promised, with what it rests on."""

    alpha: float  # the promised level
    threshold: Number  # None: too few images, or none is low enough
    images: int  # with foreground, that chose it
    groups: int  # that these images are of
    needed: int
    source_split: str
    split_hash: str
    optimistic: NotRequired[bool]  # from here on in a result: of the split itself
    realised: NotRequired[Number]
    realised_images: NotRequired[int]
    detail: NotRequired[str]


class OperatingPoint(TypedDict):
    """operating_point.json: everything that validation chose at one step."""

    step: int
    operating_point: DecisionRule | None  # None: the most probable class
    baseline: NotRequired[dict[str, Any] | None]
    temperature: NotRequired[dict[str, Any] | None]
    objects: NotRequired[ObjectChoice]  # of a run that looks for objects
    conformal: NotRequired[Conformal | None]
    image: NotRequired[image_schemas.ImageChoice]
    # of a network with an output for each class of whole images
    image_classes: NotRequired[image_class_schemas.ImageClassChoice]


MetricRow = TypedDict(
    "MetricRow",
    {
        "name": str,
        "class": str,
        "value": Number,
        "low": Number,
        "high": Number,
        "support_images": int,
        "support_pixels": NotRequired[int],
        "policy": NotRequired[str],
    },
)
MetricRow.__doc__ = "One metric of one class, with its interval, support and policy."


class Baseline(TypedDict):
    """What a rule without a model scores on the same images."""

    name: str
    detail: str
    metrics: dict[str, Number]
    classes: NotRequired[dict[str, dict[str, Number]]]


ClassRow = TypedDict(
    "ClassRow",
    {
        "class": str,
        "dice": Number,
        "iou": Number,
        "precision": Number,
        "recall": Number,
        "support_images": int,
        "support_pixels": int,
        "predicted_pixels": int,
        "never_predicted": bool,
    },
)
ClassRow.__doc__ = "One class of a split: pooled scores, and whether it is predicted."


class WithoutOffsets(TypedDict):
    """What the most probable class scores, beside the decision by offsets."""

    metrics: dict[str, Number]
    class_table: list[ClassRow]
    confusion: list[list[int]]


class Result(TypedDict):
    """eval/<split>.json: the scores of a split at the frozen operating point."""

    split: str
    split_hash: str
    step: int
    images: int
    positive_images: int
    pixels: int
    positive_pixels: int
    ignored_pixels: int
    classes: list[str]
    operating_point: DecisionRule | None
    metrics: list[MetricRow]
    baselines: list[Baseline]
    curves: dict[str, Any]
    calibration: NotRequired[dict[str, Any] | None]
    conformal: NotRequired[Conformal | None]
    class_table: NotRequired[list[ClassRow]]  # these three: above two classes
    confusion: NotRequired[list[list[int]]]  # truth x prediction
    argmax: NotRequired[WithoutOffsets]
    surface: NotRequired[list[dict[str, Any]]]
    froc: NotRequired[dict[str, Any]]
    objects: NotRequired[ObjectResult]  # of a run that looks for objects
    image_level: NotRequired[image_schemas.ImageLevel]  # of images of both kinds
    post_processing: NotRequired[image_schemas.PostProcessing]  # with a decision head
    by_threshold: NotRequired[image_schemas.ByPixelThreshold]  # from here: two classes
    by_threshold_dilated: NotRequired[image_schemas.ByPixelThreshold]
    region_overlap: NotRequired[image_schemas.RegionOverlap]
    two_stage: NotRequired[two_stage_schemas.TwoStageResult]  # of a joined run
    image_classes: NotRequired[image_class_schemas.ImageClassResult]
    agreement: NotRequired[other_data_schemas.Agreement]  # of masks of elsewhere
    # of other data than the run's own, named by whoever scored it
    other_data: NotRequired[other_data_schemas.OtherData]
    # these two where the run asked for them
    shortcut: NotRequired[evidence_schemas.Shortcut]
    localisation: NotRequired[evidence_schemas.Localisation]
    # False: no term of the loss learned from pixels, and nothing of them is reported;
    # absent, as in earlier versions: pixels were trained
    pixels_trained: NotRequired[bool]


class HistoryRow(TypedDict):
    """One epoch in history.csv; validation/* and loss/* columns stand beside these."""

    epoch: int
    step: int
    images_seen: int
    learning_rate: float
    share_target: float
    share_realised: float
    loss: Number
    grad_norm: Number
    skipped_steps: int
    seconds: float
    images_per_second: float
    data_wait_share: float


def check(value: Any, schema: Any, file: str, place: str = "") -> None:
    """Raises DataError, naming file and place, where `value` is not of this shape.

    `schema` is one of the records above, or a type made of them; keys that it does not
    name may be there. `place` is where in the file `value` stands, "" for all of it.
    """
    if schema is Any:
        return
    origin, arguments = typing.get_origin(schema), typing.get_args(schema)
    if typing.is_typeddict(schema):
        _expect(value, dict, file, place)
        missing = sorted(schema.__required_keys__ - value.keys())
        if missing:
            raise DataError(f"{_name(file, place)} has no {missing[0]!r}.")
        for key, kind in typing.get_type_hints(schema).items():
            if key in value:
                check(value[key], kind, file, f"{place}.{key}".lstrip("."))
    elif origin in (typing.Union, types.UnionType):
        if value is not None or type(None) not in arguments:
            (kind,) = (kind for kind in arguments if kind is not type(None))
            check(value, kind, file, place)
    elif origin is Literal:
        if value not in arguments:
            raise DataError(
                f"{_name(file, place)} is {value!r}; it is one of {[*arguments]}."
            )
    elif origin is list:
        _expect(value, list, file, place)
        for i, part in enumerate(value):
            check(part, arguments[0], file, f"{place}[{i}]")
    elif origin is dict:
        _expect(value, dict, file, place)
        for key, part in value.items():
            check(part, arguments[1], file, f"{place}.{key}".lstrip("."))
    else:
        _expect(value, schema, file, place)


def _expect(value: Any, kind: type, file: str, place: str) -> None:
    fits = isinstance(value, (int, float) if kind is float else kind)
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise DataError(
            f"{_name(file, place)} holds a {type(value).__name__}, wants a "
            f"{kind.__name__}."
        )


def _name(file: str, place: str) -> str:
    return f"{file}: {place}" if place else file
