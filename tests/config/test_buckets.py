"""A bucket is the run directory of jaxseg.main, and refused everywhere else."""

import pytest

from jaxseg.config import base, check, command_line
from jaxseg.errors import ConfigError


@pytest.mark.parametrize(
    "words,name",
    [
        (["jaxseg/evaluate.py", "--run=s3://b/x"], "--run"),
        (["jaxseg/predict/__main__.py", "--run=r", "--input", "gs://b/x"], "--input"),
        (["jaxseg/sweep/__main__.py", "--workdir=s3://b/x"], "--workdir"),
    ],
)
def test_flags_that_take_a_path_refuse_a_bucket(words, name):
    with pytest.raises(ConfigError, match=f"^{name}=.*aws s3 sync"):
        command_line._refuse_buckets(words)


def test_a_run_of_main_may_lie_in_a_bucket():
    command_line._refuse_buckets(["jaxseg/main.py", "--workdir=s3://b/x", "--dry_run"])


def test_data_in_a_bucket_is_refused_with_advice():
    config = base.base()
    config.model.name, config.loss.dice.weight = "unet", 1.0
    config.data.dir = "s3://b/data"
    with pytest.raises(ConfigError, match="config.data.dir=s3://b/data: a bucket is"):
        check.check(config)
