"""Configs of before get what they lack, and keep what they say."""

import json

import pytest
from ml_collections import ConfigDict
from support import runs

from jaxseg.config import check, older_configs

NAMES = ("clicks", "pneumothorax", "folder")
SINCE = ("num_seeds", "sampler.seed", "supervision", "operating_point.rule")
SINCE += ("eval.surface", "eval.tolerance")


def old(name: str) -> ConfigDict:
    """The config.json of a run from before the new keys."""
    kept = runs.config(name).to_dict()
    for key in {*SINCE, *older_configs.NEW}:
        *path, last = key.split(".")
        block = kept
        for part in path:
            block = block[part]
        del block[last]
    return ConfigDict(json.loads(json.dumps(kept)))


@pytest.mark.parametrize("name", NAMES)
def test_an_old_config_gets_every_new_key(name):
    config = old(name)
    before = config.to_json()
    config.lock()
    full = older_configs.complete(config)
    assert full.num_seeds == 1 and full.sampler.seed == -1
    assert full.supervision.name == "full" and full.supervision.paths == ()
    assert full.operating_point.rule == "threshold"
    assert full.eval.surface is True and full.eval.tolerance == 2.0
    assert full.is_locked and full.supervision.is_locked
    for key in older_configs.NEW:
        assert key.split(".")[0] in runs.config(name), f"{name} should show {key}"
    assert config.to_json() == before and "num_seeds" not in config
    full.data.dir = "somewhere"
    check.check(_runs_on_data(full))


def _runs_on_data(config: ConfigDict) -> ConfigDict:
    config.data.demo.images = 0
    return config


def test_what_a_config_says_is_never_changed():
    config = runs.config("clicks", **{"eval.tolerance": 7.0, "num_seeds": 4})
    full = older_configs.complete(config)
    assert full.to_dict() == config.to_dict() and full is not config
    assert full.eval.tolerance == 7.0 and full.num_seeds == 4
    full.eval.tolerance = 1.0
    full.supervision.positive = 1
    assert config.eval.tolerance == 7.0 and config.supervision.positive == 10


def test_configs_share_no_defaults():
    one, two = (older_configs.complete(old("clicks")) for _ in range(2))
    one.supervision.positive = 99
    assert two.supervision.positive == 10
    assert older_configs.NEW["supervision"]["positive"] == 10


def test_references_are_resolved():
    config = old("clicks")
    config.seed = config.get_ref("epochs")
    full = older_configs.complete(config)
    full.epochs = 17
    assert full.seed == config.epochs != 17
