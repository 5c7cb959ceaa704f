"""Configs of before get what they lack, and keep what they say."""

import json
import pathlib
import re

import pytest
from ml_collections import ConfigDict
from support import runs

from jaxseg import lookup
from jaxseg.config import base, check, doctor_checks
from jaxseg.errors import ConfigError, DataError
from jaxseg.run_directory import older_configs, schemas

# config.json of runs of configs/NAME.py:smoke from before there was a base.py
OLDER = pathlib.Path(__file__).parent / "older_runs"
NAMES = ("clicks", "pneumothorax", "folder")
# what recipes said then, where they say something else today
OTHERWISE = {
    "eval.loss": False,
    "eval.pictures_every": 1,
    "parent_step": "none",
    "operating_point.rule": "threshold",
    "data.fit": "stretch",
    "data.intensity.bits": 8,
    "data.stratify": "foreground",
    "data.cache_gib": 0.0,
    "augment.clip": True,
    "objects.min_area_shares": (0.0,),
}
FOLDER = {"loss.cross_entropy.class_weights": "auto"}
# keys that still older ones did not have
SINCE = ("num_seeds", "sampler.seed", "supervision", "operating_point.rule")
SINCE += ("eval.surface", "eval.tolerance", "pretrained", "transfer", "doctor")
ABSENT = object()  # instead of a value: the key is not there


def older(name: str, *, without: tuple[str, ...] = ()) -> ConfigDict:
    """The config.json of an older run, without these keys."""
    config = json.loads((OLDER / f"{name}.json").read_text())
    for key in without:
        *path, last = key.split(".")
        block = config
        for part in path:
            block = block[part]
        del block[last]
    return ConfigDict(config)


def as_json(config) -> dict:
    return json.loads(json.dumps(config))


@pytest.mark.parametrize("name", NAMES)
def test_an_older_run_is_the_run_of_the_recipe_today(name):
    """Where a recipe changes on purpose, give its older value as a change here."""
    before = older_configs.effective(older(name).to_dict())
    changes = OTHERWISE | (FOLDER if name == "folder" else {})
    today = older_configs.effective(as_json(runs.config(name, **changes).to_dict()))
    assert as_json(before) == as_json(today)


@pytest.mark.parametrize("name", NAMES)
def test_an_older_config_gets_every_key_that_is_read(name):
    config = older(name, without=SINCE)
    before = config.to_json()
    config.lock()
    full = older_configs.complete(config)
    assert full.num_seeds == 1 and full.sampler.seed == -1
    assert full.supervision.name == "full" and full.supervision.paths == ()
    assert full.operating_point.rule == "threshold"
    assert full.eval.surface is True and full.eval.tolerance == 2.0
    assert doctor_checks.options(full)["steps"] == 100
    assert full.is_locked and full.supervision.is_locked
    assert config.to_json() == before and "num_seeds" not in config
    full.data.dir, full.data.demo.images = "somewhere", 0
    check.check(full)
    # of base.py it lacks only models, samplers and terms that it does not use
    lacking = {*base.keys(base.base())} - {*base.keys(full)}
    models = lookup.names("models")
    unused = {f"model.{m}" for m in models if m != full.model.name}
    unused |= {f"loss.{t}" for t in older_configs.TERMS if t not in full.loss}
    samplers = lookup.names("data/samplers")
    unused |= {f"sampler.{s}" for s in samplers if s not in full.sampler}
    tops = {".".join(key.split(".")[:2]) for key in lacking}
    assert tops <= unused


def test_the_values_of_older_runs_are_frozen():
    """Another default in base.py, a model or a loss must not change these."""
    config = older("pneumothorax", without=("model.swin_upernet", "loss.dice_batch"))
    config.loss.tversky = {"weight": 1.0}
    config.augment = {}
    full = older_configs.complete(config)
    assert full.model.swin_upernet.to_dict() == {
        "size": "tiny",
        "embed_dim": None,
        "depths": None,
        "num_heads": None,
        "window": None,
        "width": 512,
        "pool_scales": (1, 2, 3, 6),
        "aux": True,
        "aux_channels": 256,
        "drop_path": 0.0,
        "remat": False,
        "dtype": "float32",
    }
    assert full.loss.tversky.to_dict() == {
        "weight": 1.0,
        "alpha": 0.3,
        "beta": 0.7,
        "smooth": 1.0,
        "classes": None,
        "absent_weight": 1.0,
    }
    assert full.augment.noise == 0.0 and full.augment.noise_probability == 1.0
    assert "dice_batch" not in full.loss


def test_what_a_config_says_is_never_changed():
    config = runs.config("clicks", **{"eval.tolerance": 7.0, "num_seeds": 4})
    full = older_configs.complete(config)
    assert full.to_dict() == config.to_dict() and full is not config
    assert full.eval.tolerance == 7.0 and full.num_seeds == 4
    full.eval.tolerance = 1.0
    full.supervision.positive = 1
    assert config.eval.tolerance == 7.0 and config.supervision.positive == 10


def test_configs_share_no_defaults():
    one, two = (
        older_configs.complete(older("clicks", without=SINCE)) for _ in range(2)
    )
    one.supervision.positive = 99
    assert two.supervision.positive == 10
    assert older_configs.NEW["supervision"]["positive"] == 10


def test_references_are_resolved():
    config = older("clicks", without=SINCE)
    config.seed = config.get_ref("epochs")
    full = older_configs.complete(config)
    full.epochs = 17
    assert full.seed == config.epochs != 17


def test_what_a_run_does_not_use_does_not_make_it_another():
    config = runs.config("pneumothorax")
    same = older_configs.effective(config.to_dict())
    config.model.unet.widths = (1, 2)
    config.loss.focal.gamma = 9.0
    config.model.fields = {"width": 3}
    config.sampler.fields = {"share": 1.0}
    assert older_configs.effective(config.to_dict()) == same
    config.loss.focal.weight = 0.5
    assert older_configs.effective(config.to_dict())["loss"]["focal"]["gamma"] == 9.0
    config.loss.focal.weight = 0.0
    config.model.swin_upernet.width = 9
    assert older_configs.effective(config.to_dict()) != same


def _places(block, before=()):
    for key, value in block.items():
        yield (*before, key)
        if isinstance(value, dict):
            yield from _places(value, (*before, key))


@pytest.mark.parametrize("value", [3, None, "x", [], {}, [1], {"name": []}, ABSENT])
@pytest.mark.parametrize("name", ["clicks", "pneumothorax"])
def test_a_damaged_config_is_read_or_refused_in_a_sentence(name, value):
    """Any key of config.json may hold anything, or be gone."""
    text = json.dumps(runs.config(name).to_dict())
    refused = 0
    for *parents, last in _places(json.loads(text)):
        config = block = json.loads(text)
        for parent in parents:
            block = block[parent]
        block.pop(last) if value is ABSENT else block.update({last: value})
        try:
            schemas.check(config, schemas.ConfigBlocks, "config.json")
            older_configs.effective(config)
        except (ConfigError, DataError) as error:
            refused += 1
            assert re.match(r"config(\.json: |\.)\S+ (holds|has|is) ", str(error))
    assert refused
