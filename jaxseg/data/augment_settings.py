"""Checks the settings of augmentation, before JAX starts as well as while tracing."""

import difflib
import math
from collections.abc import Mapping
from typing import Any

from jaxseg.errors import ConfigError

BORDERS = ("constant", "reflect")
# Fields of cubic B-splines stay one-to-one below this share of the control spacing:
# Choi & Lee, Injectivity Conditions of 2D and 3D Uniform Cubic B-Spline Functions,
# 2000, https://doi.org/10.1006/gmod.2000.0531
FOLD_FREE = 0.4886
LIMITS = {  # largest value allowed; the smallest is 0
    "flip_horizontal": 1.0,
    "flip_vertical": 1.0,
    "rotate_degrees": 180.0,
    "rotate_probability": 1.0,
    "scale_probability": 1.0,
    "shift": 1.0,
    "shift_probability": 1.0,
    "shear_degrees": 60.0,
    "shear_probability": 1.0,
    "affine_probability": 1.0,
    "elastic_pixels": math.inf,
    "elastic_probability": 1.0,
    "brightness": 1.0,
    "brightness_probability": 1.0,
    "contrast": 1.0,
    "contrast_probability": 1.0,
    "gamma": 9.0,
    "gamma_probability": 1.0,
    "noise": 1.0,
    "noise_probability": 1.0,
}
_OTHERS = ("scale", "elastic_cells", "border", "clip")


def check(settings: Mapping[str, Any], size: tuple[int, int]) -> None:
    """Raises ConfigError for a setting of `augment.augment` that is out of its range.

    `size` is the height and width of the images: a bend may not fold them.
    """
    for name, high in LIMITS.items():
        value = settings[name]
        if not (isinstance(value, int | float) and 0 <= value <= high):
            raise ConfigError(
                f"augment.{name} is {value!r}, but must be a number from 0 to {high:g}."
            )
    scale = settings["scale"]
    if len(scale) != 2 or not 0.1 <= scale[0] <= scale[1] <= 10:
        raise ConfigError(
            f"augment.scale is {tuple(scale)}, but must be (low, high) with "
            "0.1 <= low <= high <= 10; (1, 1) changes nothing."
        )
    if settings["border"] not in BORDERS:
        raise ConfigError(
            f"augment.border is {settings['border']!r}; choose one of {[*BORDERS]}."
        )
    cells, bend = settings["elastic_cells"], settings["elastic_pixels"]
    if not (isinstance(cells, int) and cells >= 1):
        raise ConfigError(f"augment.elastic_cells is {cells!r}, but must be 1 or more.")
    limit = FOLD_FREE * min(size) / cells
    if bend > limit:
        raise ConfigError(
            f"augment.elastic_pixels is {bend:g}, but {cells} cells fold an image of "
            f"{size[0]} x {size[1]} above {limit:.3g}; lower it or elastic_cells."
        )


def check_names(unknown: Mapping[str, Any]) -> None:
    """Raises ConfigError, with the nearest right name, for a setting that is none."""
    for name in unknown:
        choices = [*LIMITS, *_OTHERS]
        near = difflib.get_close_matches(name, choices, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {choices}."
        raise ConfigError(f"augment has no setting {name!r}: {hint}")


def check_border(border: str, *, sparse: bool) -> None:
    """Raises ConfigError where a mirrored border would draw a few labels twice."""
    if sparse and border == "reflect":
        raise ConfigError(
            "config.augment.border is 'reflect', which would repeat the labelled "
            "pixels of sparse labels; use 'constant'."
        )
