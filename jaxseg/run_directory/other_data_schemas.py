"""The shape of what eval/<name>.json says of data that a run was not made with."""

from typing import Any, TypedDict


class OtherData(TypedDict):
    """Data of elsewhere: what it is, and which of its images the run's test set has."""

    card: dict[str, Any]  # of the data, counted over the images that were scored
    splits: list[str]  # of that data, which were scored together
    reordered: list[str]  # its classes in its own order; [] where that is the run's
    shared: list[str]  # ids of the images that are images of the test set too
    detail: str  # how it is known that they are, or why nothing is
