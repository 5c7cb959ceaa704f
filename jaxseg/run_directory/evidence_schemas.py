"""The shapes of what eval/<split>.json says of what answers on whole images rest on.

A number is None where it is undefined, as every ranking of images of one kind is.
"""

from typing import Literal, NotRequired, TypedDict

from jaxseg.run_directory.object_schemas import Number

Verdict = Literal["kept", "lost", "unclear", "no_score", "undefined"]


class ClassAuc(TypedDict):
    """The area under the ROC curve of one class against the rest."""

    name: str
    roc_auc: Number


class ShortcutRow(TypedDict):
    """How the classifier ranks images of which a part was replaced by a mean."""

    input: Literal["as_is", "erased", "only"]
    detail: str
    roc_auc_mean: Number
    low: Number
    high: Number
    classes: list[ClassAuc]


class Shortcut(TypedDict):
    """ "shortcut" of eval/<split>.json: of a run that asked for it."""

    erased: list[str]  # pixel classes
    images: int  # in which something of them is marked
    left_out: int
    groups: int
    rows: list[ShortcutRow]
    verdict: Verdict  # of the score without the object
    rule: str  # how the verdict follows from the rows


class Localisation(TypedDict):
    """ "localisation" of eval/<split>.json: the pointing game of one class."""

    image_class: str
    mask_class: str
    images: int  # that show both
    hits: int  # whose maximum lies in the mask, or within the tolerance
    flat: int  # of the misses, those whose map has no maximum
    value: Number  # hits / images
    low: Number  # Wilson, 95 %
    high: Number
    chance: Number  # mean share of pixels that would be a hit
    tolerance: float  # pixels
    policy: str


class ClassExample(TypedDict):
    """One image in eval/<split>_class_examples.json; files lie in that folder."""

    id: str
    index: int
    role: Literal["error", "right"]
    image_class: str  # of the error, or of the answer
    truth: list[str]  # classes that the image shows
    predicted: list[str]
    probability: float  # of image_class
    margin: float  # by how much the answer was sure
    image: str
    mask: NotRequired[str]
    attention: NotRequired[str]  # of image_class, upon the image
