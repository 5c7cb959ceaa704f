"""Lowers the learning rate when validation stops improving.

As ReduceLROnPlateau of Keras (https://keras.io/api/callbacks/reduce_lr_on_plateau/):
after `patience` epochs without a better score the rate is multiplied by `factor`, never
below `min_rate`, and the epochs are counted anew. What it needs is kept in the notes of
every checkpoint, and the factor of now in the state: a run that goes on has both.
"""

from collections.abc import Mapping
from typing import Any

from jaxseg.errors import ConfigError

START = {"best": None, "since": 0, "scale": 1.0}


def update(
    before: Mapping[str, Any],
    value: float | None,
    *,
    epochs: int,
    factor: float,
    patience: int,
    threshold: float,
    min_scale: float,
) -> dict[str, Any]:
    """The notes after a validation whose score, higher is better, is `value`.

    `before` are those of the validation before, `START` at first: the best score,
    `since` so many epochs, and the `scale` of the learning rate. `epochs` went by since
    then. A score counts as better when it is more than `threshold` above the best; one
    that is not defined (None) never does.
    """
    best, since = before["best"], before["since"] + epochs
    scale = before["scale"]
    if value is not None and (best is None or value > best + threshold):
        best, since = value, 0
    if since >= patience:
        scale, since = max(scale * factor, min(min_scale, scale)), 0
    return {"best": best, "since": since, "scale": scale}


def check(
    *, factor: float, patience: int, threshold: float, min_rate: float, rate: float
) -> None:
    """Raises ConfigError for settings with which the rate could not fall."""
    for name, value, good, allowed in [
        ("factor", factor, 0 < factor < 1, "between 0 and 1"),
        ("patience", patience, patience >= 1, "1 epoch or more"),
        ("threshold", threshold, threshold >= 0, "0 or more"),
        ("min_rate", min_rate, 0 <= min_rate <= rate, f"from 0 to the rate {rate:g}"),
    ]:
        if not good:
            raise ConfigError(
                f"config.optim.plateau.{name} is {value:g}; it must be {allowed}."
            )
