"""Decides whether a validation curve still improves where a run ends.

The best epoch of a curve that has become flat lies anywhere on the flat part, often in
its last tenth: by itself it says nothing about the length of a run. So a line is fitted
to the last third by least squares. Its slope is called an improvement when it passes
Student's one-sided t-test at 5 % with n - 2 degrees of freedom (the test of a slope in
any text on regression, such as Draper and Smith, Applied Regression Analysis, 1998,
chapter 1), and when what the line gains over that third is more than 1 % of the best
value: of a sure but smaller gain, more training would bring less still. That a rise is
not sure does not make a curve flat: it is called flat where the line gains at most that
1 %, and where the upper end of the same one-sided 95 % interval is at most 5 % of the
best value. All else is undecided. The test takes the errors of epochs as independent;
that the best epoch must lie in the last third too makes up for it in part.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
from scipy import special

from jaxseg.report import derived_numbers
from jaxseg.report.read import Run

FEWEST = 4  # validations in the last third: fewer do not tell a slope from noise
LEVEL = 0.05
WORTH = 0.01  # of the best value: a smaller gain over a third is none
MOST = 0.05  # of the best value: a flat end excludes a larger gain over a third
LONG = 10  # epochs: of shorter runs nothing is said


class End(NamedTuple):
    """What the last third of a run says about its length."""

    answer: Literal["early", "flat", "improving", "undecided"]  # early: the best epoch
    column: str
    best: float
    epoch: float  # of the best
    epochs: float  # of the run
    last: float  # value
    count: int  # validations in the last third
    gain: float | None  # of the fitted line over the last third, better is positive
    noise: float | None  # standard deviation about that line
    most: float | None  # upper end of the one-sided 95 % interval of the gain


def end(run: Run) -> End | None:
    """The end of the curve that a run was chosen by; None of a short or odd run.

    `early`: the best epoch lies before the last third; `flat`: it does not, and the
    curve no longer improves; `improving`: it still does; `undecided`: too few
    validations, or too much noise, to say.
    """
    name, history = derived_numbers.selection_column(run), run["history"]
    if name is None or len(history) < LONG:
        return None
    epochs, values = derived_numbers.column(run, name)
    at = derived_numbers.best_index(name, values)
    first = history[-math.ceil(len(history) / 3)]["epoch"]
    x, y = epochs[epochs >= first], values[epochs >= first]
    gain = noise = most = None
    answer = "early"
    if epochs[at] >= first:
        answer = "undecided"
        if len(x) >= FEWEST:
            slope, error, noise = _line(x, y)
            sign = -1 if "loss" in name else 1
            gain = sign * slope * (x[-1] - x[0])
            apart = special.stdtrit(len(x) - 2, 1 - LEVEL) * error * (x[-1] - x[0])
            most = gain + apart
            answer = _answer(gain, apart, abs(values[at]))
    best, last = float(values[at]), float(values[-1])
    where = float(epochs[at]), float(history[-1]["epoch"])
    return End(answer, name, best, *where, last, len(x), gain, noise, most)


def _answer(gain: float, apart: float, best: float) -> str:
    """What a gain that is known to within `apart` says, against the best value."""
    if gain > apart and gain > WORTH * best:
        return "improving"
    flat = gain <= WORTH * best and gain + apart <= MOST * best
    return "flat" if flat else "undecided"


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Slope of the least-squares line, its standard error, and the noise about it."""
    dx = x - x.mean()
    square = float(dx @ dx)
    slope = float(dx @ y) / square
    rest = y - y.mean() - slope * dx
    noise = math.sqrt(float(rest @ rest) / (len(x) - 2))
    return slope, noise / math.sqrt(square), noise
