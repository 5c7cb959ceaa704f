"""The shapes of scores on other data, and of masks that no run made."""

from typing import Any, TypedDict

from jaxseg.run_directory.object_schemas import Number


class OtherData(TypedDict):
    """Data of elsewhere: what it is, and which of its images the run's test set has."""

    card: dict[str, Any]  # of the data, counted over the images that were scored
    splits: list[str]  # of that data, which were scored together
    reordered: list[str]  # its classes in its own order; [] where that is the run's
    shared: list[str]  # ids of the images that are images of the test set too
    detail: str  # how it is known that they are, or why nothing is


AgreementRow = TypedDict(
    "AgreementRow",
    {
        "class": str,
        "dice": Number,
        "kappa": Number,
        "objects": int,  # of the reference
        "other_objects": int,
        "matched_objects": int,
        "object_f1": Number,
    },
)
AgreementRow.__doc__ = "How far two masks agree on a class, by pixels and by objects."


class Agreement(TypedDict):
    """How far masks of elsewhere agree with those of the data, which may be a rater."""

    policy: str
    classes: list[AgreementRow]
