"""Evaluates a setting that may change over training.

It is a number; knots ((progress, value), ...), joined by lines; or a staircase that
changes with the epoch alone,

    ("staircase", first, end)      value = first + (end - first) e / E

in epoch e = 0 .. E - 1 of a run of E epochs: `end` is where the epoch after the last
would be, so it is never reached. With ("staircase", 1.0, 0.0) and ("staircase", 0.0,
delta) two terms are weighed lambda and delta (1 - lambda), lambda = 1 - e / E (Bozic,
Tabernik and Skocaj, 2021, https://arxiv.org/abs/2104.06064).
"""

import types
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxseg.errors import ConfigError

Schedule = float | Sequence[Any]
STAIRCASE = "staircase"


def check(schedule: Schedule, *, name: str) -> None:
    """Raises ConfigError unless it is a number, knots, or a staircase.

    The progress of knots is 0 at the first step, 1 at the last, and rises from knot to
    knot.
    """
    if isinstance(schedule, (int, float)):
        return
    if is_staircase(schedule):
        ends = schedule[1:]
        numbers = [isinstance(end, (int, float)) for end in ends]
        if len(ends) == 2 and all(numbers) and np.all(np.isfinite(ends)):
            return
        raise ConfigError(
            f"config.{name} is {tuple(schedule)!r}; a staircase has the value of the "
            'first epoch and the one it goes to, such as ("staircase", 1.0, 0.0).'
        )
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
            f"config.{name} is {schedule!r}; give a number, knots such as "
            "((0.0, 0.8), (1.0, 0.4)) with progress rising from 0 to 1, or "
            '("staircase", 1.0, 0.0), which goes down with every epoch.'
        )


def at(
    schedule: Schedule,
    progress: Any,
    *,
    epoch: Any,
    epochs: Any,
    xp: types.ModuleType = np,
) -> Any:
    """The value f32 at `progress` in [0, 1], in `epoch` = 0 .. `epochs` - 1.

    `xp` is numpy, or jax.numpy inside jit, where all but knots and stairs may be
    traced. Stairs depend on the whole number `epoch` alone, so they are exact
    at the first and the last step of it.
    """
    if isinstance(schedule, (int, float)) or getattr(schedule, "shape", None) == ():
        return xp.asarray(schedule, dtype=xp.float32)
    if is_staircase(schedule):
        first, end = (np.float32(value) for value in schedule[1:])
        over = xp.asarray(epoch, xp.float32) / xp.asarray(epochs, xp.float32)
        return first + (end - first) * over
    knots = np.asarray(schedule, np.float32)
    return xp.interp(xp.asarray(progress, xp.float32), knots[:, 0], knots[:, 1])


def values(schedule: Schedule) -> tuple[float, ...]:
    """The number, the values of the knots, or both ends of the staircase."""
    if isinstance(schedule, (int, float)):
        return (float(schedule),)
    if is_staircase(schedule):
        return tuple(map(float, schedule[1:]))
    return tuple(float(value) for _, value in schedule)


def is_staircase(schedule: Any) -> bool:
    """Whether it changes with the epoch alone."""
    return isinstance(schedule, (tuple, list)) and tuple(schedule[:1]) == (STAIRCASE,)
