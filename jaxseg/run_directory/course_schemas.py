"""The shapes of what run.json says of the course of a run: origin, best epoch, end."""

from typing import NotRequired, TypedDict


class RecordedChange(TypedDict):
    """A key of the config that changed while a run went on."""

    step: int  # from which it holds
    key: str
    before: str  # JSON, or "absent"
    after: str


class EarlyStop(TypedDict):
    """Why a run ended before its last step: validation did not improve for long."""

    step: int  # the last one
    patience: int  # epochs, of the config
    metric: str
    best_epoch: int | None
    words: str  # all of it as one sentence


class Parent(TypedDict):
    """The run that a run comes after: what tells it from others, wherever it lies."""

    name: str  # of its directory
    created: str
    step: NotRequired[int]  # whose checkpoint this run began with
    left: NotRequired[list[str]]  # what did not fit and so began new, in words
    config_sha256: str  # of its config.json when this run began


class BestEpoch(TypedDict):
    """The epoch with the highest metric of validation."""

    step: int
    epoch: int
    metric: str
    value: float
