"""Counts how many positives keep their masks, as `supervision.masks` says; no JAX."""

from collections.abc import Sequence

from jaxseg.errors import ConfigError


def check(masks: float, paths: Sequence[str] = ()) -> None:
    """Raises ConfigError for a number that is no share and no count.

    And for one beside `paths`, which list the images instead.
    """
    if masks < 0 or (masks > 1 and masks != int(masks)):
        raise ConfigError(
            f"config.supervision.masks is {masks:g}; give the share of the positives "
            "that keep their masks, from 0 to 1, or a whole number of them above 1."
        )
    if paths and masks != 1:
        raise ConfigError(
            f"config.supervision.masks is {masks:g}, but config.supervision.paths "
            "lists the images that keep their masks: set masks to 1.0, or paths to ()."
        )


def count(masks: float, there: int) -> int:
    """How many of the positives `there` keep their masks; halves round to even.

    Raises ConfigError for what `check` refuses, and for more than `there`.
    """
    check(masks)
    if masks <= 1:
        return round(masks * there)
    if masks > there:
        raise ConfigError(
            f"config.supervision.masks is {masks:g}, but only {there} positive "
            "training images have a mask; give at most as many, or a share up to 1."
        )
    return int(masks)
