"""A range of steps for --profile is read, or refused in one sentence."""

import pytest

from jaxseg.config import profiled_steps
from jaxseg.errors import ConfigError

ONE_RUN = {"dry_run": False, "several": False}


def test_both_ends_belong_to_the_range():
    assert profiled_steps.parse("10:14", **ONE_RUN) == (10, 14)
    assert profiled_steps.parse("3:3", **ONE_RUN) == (3, 3)
    assert profiled_steps.parse("", **ONE_RUN) is None
    assert profiled_steps.parse("", dry_run=True, several=True) is None


@pytest.mark.parametrize(
    "text,message",
    [
        ("10", "first and the last step"),
        ("a:b", "first and the last step"),
        ("1:2:3", "first and the last step"),
        ("-1:5", "first and the last step"),
        ("0:5", "count from 1"),
        ("5:4", "last is not before the first"),
        ("5:900", "at most 100; give such as --profile=5:9"),
    ],
)
def test_another_text_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        profiled_steps.parse(text, **ONE_RUN)


def test_a_command_without_a_single_run_is_refused():
    with pytest.raises(ConfigError, match="--dry_run trains nothing"):
        profiled_steps.parse("1:2", dry_run=True, several=False)
    with pytest.raises(ConfigError, match="trains several"):
        profiled_steps.parse("1:2", dry_run=False, several=True)
