"""What folds may be, and what they do not go with."""

import pytest
from support import runs

from jaxseg import errors
from jaxseg.config import check, check_folds


def config(**changes):
    return runs.config("folder", **{"data.dir": "x"} | changes)


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"folds": 1}, "folds is 1; give at least 3"),
        ({"folds": 2}, "folds is 2; give at least 3"),
        ({"folds": -5}, "folds is -5; it must be from 0 to 100"),
        ({"folds": 5, "fold": 5}, "fold is 5, but config.folds is 5: give from 0 to 4"),
        ({"fold": 0}, "fold is 0, but config.folds is 0: give -1"),
        ({"fold": -2}, "fold is -2; it must be at least -1"),
        ({"folds": 5, "num_seeds": 2}, "folds is 5 and config.num_seeds 2"),
        ({"folds": 5, "two_stage.on": True}, "folds is 5 and config.two_stage.on"),
        ({"folds": 5, "parent": "runs/a"}, "folds is 5 and config.parent runs/a"),
    ],
)
def test_folds_that_cannot_be(changes, message):
    with pytest.raises(errors.ConfigError, match=message):
        check.check(config(**changes))


@pytest.mark.parametrize(
    "changes,every",
    [
        ({}, False),
        ({"folds": 3}, True),
        ({"folds": 5, "fold": 4}, False),
        ({"folds": 5, "parent": "runs/a", "parent_step": "none"}, True),
        ({"folds": 5, "fold": 4, "parent": "runs/a"}, False),
    ],
)
def test_folds_that_can_be(changes, every):
    check.check(config(**changes))
    assert check_folds.are_all(config(**changes)) is every
