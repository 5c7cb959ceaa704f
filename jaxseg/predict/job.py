"""By what images are predicted, and what is written of them."""

from typing import NamedTuple

from jaxseg.predict import inputs, objects
from jaxseg.predict.ensemble import Ensemble
from jaxseg.predict.first_stage import First
from jaxseg.predict.outputs import Journal

FORMATS = "predict/formats"  # the folder of what --format names
Result = tuple[inputs.Input, str]  # an image, and what is wrong with it or ""


class Job(NamedTuple):
    """What every image of one command shares."""

    model: Ensemble
    journal: Journal
    wanted: inputs.Wanted
    formats: tuple[str, ...] = ("png",)
    overlays: bool = True
    probabilities: bool = False
    rule: objects.Rule | None = None  # None: no objects are looked for
    first: First | None = None  # of a joined run: which images `model` segments
    blacken: bool = False  # masks are emptied where the decision on the image says no
