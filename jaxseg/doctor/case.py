"""The two records of every check: the case it examines, and its finding."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from jaxseg.experiment import build

OK, WARNING, ERROR = LEVELS = ("ok", "warning", "error")


class Finding(NamedTuple):
    """What one check observed; `why` and `fix` are for levels above ok."""

    level: str
    observed: str  # in words, with its numbers
    why: str = ""
    fix: str = ""
    drawing: str = ""  # lines to show as they are
    name: str = ""  # of the check


class Case(NamedTuple):
    """A run to be examined.

    The last four are costly: they are computed when first asked for, and None in the
    fast part.
    """

    config: ConfigDict
    experiment: build.Experiment
    options: dict  # doctor_checks.options(config)
    scan: Callable[[], list] | None = None  # images.scan
    stages: Callable[[], Any] | None = None  # probe.stages
    trained: Callable[[], Any] | None = None  # model.first_steps
    example: Callable[[], dict] | None = None  # a batch on the host


def share(part: float, whole: float) -> str:
    """ "12.3 %", or "none" of nothing."""
    return f"{100 * part / whole:.3g} %" if whole else "none"


def few(names, shown: int = 4) -> str:
    """The first names, and how many more there are."""
    names = [str(name) for name in names]
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
