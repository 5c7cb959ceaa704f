"""The shape of the scores of all folds together, eval/out_of_fold.json."""

from typing import Any, TypedDict

from jaxseg.run_directory import schemas


class FoldMember(TypedDict):
    """What one member scored on the fold that it tested."""

    name: str  # its run directory, beside eval/
    fold: int  # that it tested
    validation_fold: int  # that chose its step and its operating point
    images: int
    groups: int
    positive_images: int
    step: int  # of the checkpoint that was scored
    total_steps: int
    operating_point: schemas.DecisionRule | None
    # of foreground, of several classes their mean, on this fold alone
    metrics: list[schemas.MetricRow]
    baselines: list[schemas.Baseline]


class OutOfFold(TypedDict):
    """eval/out_of_fold.json: every image once, by the member that never saw it."""

    split: str
    split_hash: str
    name: str  # of the config
    recipe: str
    folds: int
    seed: int  # of the dealing
    rule: str  # how the folds were dealt
    dataset: str
    metric: str  # the one that chose each member's best step
    finished: str
    images: int
    groups: int
    positive_images: int
    pixels: int
    positive_pixels: int
    classes: list[str]
    metrics: list[schemas.MetricRow]
    class_table: list[schemas.ClassRow]
    baselines: list[schemas.Baseline]
    members: list[FoldMember]
    unlabelled: list[Any]  # ids of images that no fold tests: nothing is known of them
