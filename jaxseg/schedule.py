"""Evaluates a setting that may change over training: a number, or knots."""

import types
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxseg.errors import ConfigError

Schedule = float | Sequence[Sequence[float]]


def check(schedule: Schedule, *, name: str) -> None:
    """Raises ConfigError unless it is a number, or knots ((progress, value), ...).

    Progress is 0 at the first step, 1 at the last, and rises from knot to knot.
    """
    if isinstance(schedule, (int, float)):
        return
    try:
        knots = np.asarray([tuple(knot) for knot in schedule], float)
        valid = knots.ndim == 2 and knots.shape[1] == 2 and len(knots) > 0
    except (TypeError, ValueError):
        valid = False
    if valid:
        progress = knots[:, 0]
        valid = np.all(np.diff(progress) > 0) and progress[0] >= 0 and progress[-1] <= 1
    if not valid:
        raise ConfigError(
            f"config.{name} is {schedule!r}; give a number, or knots such as "
            "((0.0, 0.8), (1.0, 0.4)) with progress rising from 0 to 1."
        )


def at(schedule: Schedule, progress: Any, *, xp: types.ModuleType = np) -> Any:
    """The value at `progress` in [0, 1]; `xp` is numpy, or jax.numpy inside jit.

    Inside jit the schedule may also be one number that is traced.
    """
    if isinstance(schedule, (int, float)) or getattr(schedule, "shape", None) == ():
        return xp.asarray(schedule, dtype=xp.float32)
    knots = np.asarray(schedule, np.float32)
    return xp.interp(xp.asarray(progress, xp.float32), knots[:, 0], knots[:, 1])
