"""Opens a joined run: one run classifies an image, the other segments it."""

import pathlib
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxseg.errors import ConfigError, DataError
from jaxseg.predict import ensemble
from jaxseg.run_directory import files, two_stage_schemas
from jaxseg.run_directory.two_stage_schemas import CLASSIFY, SEGMENT

SEGMENTED = "segmented"  # a column of predictions.csv: 1, or 0 and the mask is empty


class First(NamedTuple):
    """The first stage: which images go on to the second."""

    model: ensemble.Ensemble
    column: int  # of the class of whole images that calls for it
    threshold: float  # from which probability on, as validation chose it

    def passes(self, probability: Float[np.ndarray, "m"]) -> bool:
        """Whether an image with these probabilities of its classes is segmented."""
        return float(probability[self.column]) >= self.threshold


def is_joined(workdir: pathlib.Path) -> bool:
    """Whether a run directory is that of two stages."""
    return (pathlib.Path(workdir) / files.TWO_STAGE).is_file()


def load(root: pathlib.Path, **options: Any) -> tuple[First, pathlib.Path]:
    """(the first stage, the run directory of the second) of the joined run in `root`.

    `options` are those of `ensemble.load`. Raises what it does, and DataError where the
    first stage has no such class as two_stage.json names.
    """
    path = root / files.TWO_STAGE
    frozen = files.read(path, two_stage_schemas.TwoStage)
    model = ensemble.load([root / CLASSIFY], **options)
    names = (model.image_classes or {"names": []})["names"]
    if frozen["image_class"] not in names:
        raise DataError(
            f"{path} names the class {frozen['image_class']!r}, but its first stage "
            f"tells {', '.join(names) or 'no classes of whole images'}: put the file "
            "back as it was."
        )
    column = names.index(frozen["image_class"])
    return First(model, column, frozen["threshold"]), root / SEGMENT


def check_alike(first: First, second: ensemble.Ensemble) -> None:
    """ConfigError unless both stages see images of one kind."""
    cards = [model.runs[0].record["dataset"] for model in (first.model, second)]
    for key in ("channels", "dtype"):
        if cards[0][key] != cards[1][key]:
            raise ConfigError(
                f"the stages were trained on images of other {key}: {cards[0][key]} "
                f"and {cards[1][key]}; train them on the same images."
            )
