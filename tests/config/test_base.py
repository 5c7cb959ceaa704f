"""base.py holds every key once, and a block for everything that has a name."""

import dataclasses
import inspect

import pytest
from support import command_lines, runs

from jaxseg import errors, lookup
from jaxseg.config import base
from jaxseg.data import augment, sparse_labels
from jaxseg.postprocess import objects
from jaxseg.train_step import step

RECIPES = ("pneumothorax:smoke", "folder", "clicks")
TERMS = lookup.names("losses") + lookup.names("regularisers")
FED = step.INPUTS  # by the step
FED_SAMPLERS = ("present", "image_classes")  # by the split
ARRAYS = ("image", "mask", "instances", "key")


def keywords(function, *but: str) -> dict:
    """{argument: default} of a function, without those that it is called with."""
    parameters = inspect.signature(function).parameters.values()
    named = [p for p in parameters if p.kind is not p.VAR_KEYWORD]
    return {p.name: p.default for p in named if p.name not in but}


@pytest.mark.parametrize("name", lookup.names("models"))
def test_a_block_of_a_model_has_its_fields_and_defaults(name):
    fields = {f.name: f.default for f in dataclasses.fields(_model(name))}
    for inner in ("num_classes", "parent", "name"):
        del fields[inner]
    assert base.base().model[name].to_dict() == fields


def _model(name: str):
    return lookup.find("models", name).Model


@pytest.mark.parametrize("name", lookup.names("targets"))
def test_a_block_of_a_target_has_its_settings(name):
    of = lookup.find("targets", name)
    block = base.base().target.to_dict().get(name, {})
    assert block == keywords(of.channels, "num_classes")
    for function in (of.split, of.truth, of.maps):
        own = keywords(function, "num_classes", "mask", "instances", "logits")
        assert block == own


def test_the_block_of_objects_has_every_step_of_the_cleaning():
    block = base.base().objects.to_dict()
    assert block.pop("rule") == "" and block.pop("objective") in objects.OBJECTIVES
    assert block.pop("min_area_shares")[0] == 0.0
    assert block == objects.CLEANING


@pytest.mark.parametrize("name", TERMS)
def test_a_block_of_a_term_has_a_weight_and_its_arguments(name):
    loss = lookup.find(lookup.TERMS, name).loss
    assert not {*step.asks_for(loss)} - {*FED}
    block = base.base().loss[name].to_dict()
    assert block.pop("weight") == 0.0
    if "class_weights" in block:
        assert block.pop("class_weight_cap") == 0.0  # of class weights by name
    assert block == keywords(loss, *FED)


@pytest.mark.parametrize("name", lookup.names("data/samplers"))
def test_a_block_of_a_sampler_has_its_arguments(name):
    sampler = lookup.find("data/samplers", name)
    block = base.base().sampler[name].to_dict()
    assert block.keys() == keywords(sampler.epoch_size, *FED_SAMPLERS).keys()


def test_the_block_of_supervision_has_the_arguments_of_every_kind():
    block = base.base().supervision.to_dict()
    taken = {"name", "seed", "annotators", "fields"}
    for name in lookup.names("data/supervision"):
        module = lookup.find("data/supervision", name)
        names = ("label", "read", "choose")
        make = next(getattr(module, n) for n in names if hasattr(module, n))
        own = keywords(make, "mask", "rng", "split", "view", "options")
        taken |= own.keys()
        for key, default in own.items():
            assert default in (inspect.Parameter.empty, block[key])
        assert sparse_labels.options(block | {"name": name}, seed=0)["name"] == name
    assert block.keys() == taken


def test_augmentation_has_its_arguments_and_starts_switched_off():
    expected = keywords(augment.augment, *ARRAYS, "sparse", "unknown")
    assert base.base().augment.to_dict() == expected


def test_there_is_no_block_of_something_that_is_not_there():
    config = base.base()
    assert {*config.loss} == {*TERMS}
    assert {*config.model} == {"name", "fields", *lookup.names("models")}
    targets = lookup.names("targets")
    assert {*config.target} == {"name", "fields", *targets} - {"classes"}
    samplers = lookup.names("data/samplers")
    assert {*config.sampler} == {"name", "seed", "fields", *samplers}


def _leaves(tree: dict, prefix: str = "") -> dict:
    out = {}
    for key, value in tree.items():
        below = isinstance(value, dict)
        out |= _leaves(value, f"{prefix}{key}.") if below else {prefix + key: value}
    return out


def test_setting_a_key_changes_no_other():
    plain = _leaves(base.base().to_dict())
    for key, value in plain.items():
        config = base.base()
        *path, last = key.split(".")
        block = config
        for part in path:
            block = block[part]
        kind = type(value) if value is not None else block.get_type(last)
        others = {int: 77, float: 77.5, str: "other", bool: not value, tuple: (7, 8)}
        block[last] = others.get(kind, "auto")
        now = _leaves(config.to_dict())
        assert [k for k in plain if now[k] != plain[k]] == [key]
    assert _leaves(base.base().to_dict()) == plain


def test_every_block_can_be_set_on_the_command_line_of_every_recipe():
    words = (
        "--config.loss.focal.weight=1",
        "--config.loss.dice.weight=((0.0,1.0),(1.0,0.5))",
        "--config.loss.dice.classes=1",
        "--config.loss.cross_entropy.class_weights=0.5,10",
        "--config.model.name=unet",
        "--config.model.unet.widths=8,16,32",
        "--config.model.swin_upernet.depths=(1,1,2,1)",
        "--config.model.swin_upernet.window=4",
        "--config.model.resnet_unet.depth=18",
        "--config.sampler.balanced.share=((0.0,0.8),(1.0,0.4))",
        "--config.data.intensity.low=0.5",
        "--config.data.options.seed=3",
        "--config.data.dir=somewhere",
    )
    commands = [[f"--config={name}", *words] for name in RECIPES[1:]]
    commands.append([f"--config={RECIPES[0]}", *words[:-1]])
    for answer in command_lines.answers(commands):
        config = answer["config"]  # JSON has lists for tuples
        assert config["loss"]["focal"]["weight"] == 1
        assert config["loss"]["dice"]["weight"] == [[0.0, 1.0], [1.0, 0.5]]
        assert config["loss"]["dice"]["classes"] == [1]
        assert config["loss"]["cross_entropy"]["class_weights"] == [0.5, 10]
        assert config["model"]["unet"]["widths"] == [8, 16, 32]
        assert config["model"]["swin_upernet"]["depths"] == [1, 1, 2, 1]
        assert config["model"]["swin_upernet"]["window"] == 4
        assert config["sampler"]["balanced"]["share"] == [[0.0, 0.8], [1.0, 0.4]]
        assert config["data"]["intensity"]["low"] == 0.5
        assert config["data"]["options"]["seed"] == 3


def test_a_variant_is_chosen_by_name_or_by_default():
    variants = {"full": {}, "smoke": {"epochs": 1, "optim": {"ema": 0.5}}}
    config = base.variant(base.base(), "smoke", variants)
    assert (config.epochs, config.optim.ema, config.recipe) == (1, 0.5, "smoke")
    assert config.recipe_chosen == "by name"
    config = base.variant(base.base(), "", variants, why="because")
    assert (config.recipe, config.recipe_chosen) == ("full", "because")
    with pytest.raises(errors.ConfigError, match="no variant 'smke': did you mean 'sm"):
        base.variant(base.base(), "smke", variants)


def test_a_key_has_its_nearest_right_one():
    keys = base.keys(base.base())
    assert {"optim", "optim.learning_rate", "loss.focal.gamma"} <= {*keys}
    assert len({*keys}) == len(keys)
    use = {"optim.learning_rat": "optim.learning_rate", "batchsize": "batch_size"}
    use |= {
        "model.unet.width": "model.unet.widths",
        "learning_rate": "optim.learning_r",
    }
    for wrong, right in use.items():
        assert f"no key config.{wrong}; use config.{right}" in base.no_key(wrong, keys)
    assert "jaxseg/config/base.py" in base.no_key("qqqqqqqq", keys)
    assert (runs.ROOT / "jaxseg/config/base.py").is_file()
