"""Reads --profile=START:STOP, the steps whose time is recorded."""

import re
from typing import NamedTuple

from jaxseg.errors import ConfigError

LIMIT = 100  # a step leaves megabytes in a trace, and a viewer opens no gigabytes


class Steps(NamedTuple):
    """The steps from `first` to `last`, both of them, counted from 1."""

    first: int
    last: int


def parse(text: str, *, dry_run: bool, several: bool) -> Steps | None:
    """The steps that `text` names; None for "", which names none.

    `several` says that the command trains more than one run. Raises ConfigError for
    what is no such range, and where there is no single run to record.
    """
    if not text:
        return None
    match = re.fullmatch(r"(\d{1,12}):(\d{1,12})", text)
    if not match:
        raise ConfigError(
            f"--profile={text}: give the first and the last step to record, such as "
            "--profile=10:14; steps count from 1."
        )
    steps = Steps(int(match[1]), int(match[2]))
    if not 1 <= steps.first <= steps.last:
        raise ConfigError(
            f"--profile={text}: steps count from 1, and the last is not before the "
            "first; give such as --profile=10:14."
        )
    if (count := steps.last - steps.first + 1) > LIMIT:
        raise ConfigError(
            f"--profile={text} names {count:,} steps: a trace holds at most {LIMIT}; "
            f"give such as --profile={steps.first}:{steps.first + 4}."
        )
    if dry_run:
        raise ConfigError(
            "--profile records steps of a training, and --dry_run trains nothing: "
            "leave one of them out."
        )
    if several:
        raise ConfigError(
            "--profile records steps of one run, and this command trains several "
            "(num_seeds, two stages): give --config.num_seeds=1 "
            "--config.two_stage.on=False with it."
        )
    return steps
