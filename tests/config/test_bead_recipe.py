"""The recipe of the bead study: its networks, its numbers, and which of them runs."""

import importlib.util
import math

import jax
import jax.numpy as jnp
import pytest
from support import runs

from jaxseg.config import base, check
from jaxseg.errors import ConfigError
from jaxseg.experiment import from_config

MODELS = {"unet": 31_402_501, "attention_unet": 37_334_665}
MODELS |= {"attention_resunet": 39_090_377}


def count(tree):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("name", MODELS)
def test_a_network_is_that_of_the_study_but_for_its_head(name):
    """The study has one output and a norm of 4 numbers behind it, we two classes."""
    config = runs.config("microbeads", name)
    model = from_config.model(config, 2)
    image = jnp.zeros((1, 64, 64, 3))
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False))
    assert count(shapes) == MODELS[name] - 4 + 65
    assert model.dropout == 0.3
    config.data.dir = "/data"
    check.check(config)
    terms = {k: block.weight for k, block in config.loss.items() if block.weight}
    assert terms == {"dice_batch": 0.7, "focal": 0.3}
    assert (config.optim.learning_rate, config.batch_size) == (1e-4, 32)
    assert config.optim.schedule == "plateau" and config.optim.clip_each
    plateau = config.optim.plateau
    assert (plateau.factor, plateau.patience, plateau.min_rate) == (0.5, 10, 1e-6)
    assert config.data.fit == "crop" and config.data.image_size == (256, 256)
    assert config.epochs * config.steps_per_epoch >= 1000
    assert config.eval.patience == 20 and config.eval.metric == "iou_pooled"


def test_the_sweep_compares_the_networks_over_seeds():
    spec = importlib.util.spec_from_file_location(
        "beads", runs.ROOT / "configs/microbeads.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    members = module.get_sweep(seeds=2)
    assert [*members][:4] == [*(f"{n}-seed0" for n in MODELS), "unet-seed1"]
    assert len(members) == 6
    for name, changes in members.items():
        config = runs.config("microbeads", "demo", **changes)
        check.check(config)
        assert name == f"{config.model.name}-seed{config.seed}"
        assert config.model[config.model.name].widths == (12, 24, 48, 96)


def test_what_runs_without_a_word(tmp_path, monkeypatch):
    monkeypatch.delenv("JAXSEG_DATA", raising=False)
    config = runs.config("microbeads", "")
    assert (config.recipe, config.data.demo.images) == ("demo", 64)
    monkeypatch.setenv("JAXSEG_DATA", str(tmp_path))
    assert runs.config("microbeads", "").recipe == "demo"
    (tmp_path / "dataset_microscope/images").mkdir(parents=True)
    config = runs.config("microbeads", "")
    assert config.recipe == "unet" and config.recipe_chosen == "by the data present"
    assert config.data.dir == str(tmp_path / "dataset_microscope")
    check.check(config)
    check.check(runs.config("microbeads", "demo"))
    monkeypatch.setenv("JAXSEG_DATA", str(tmp_path / "dataset_microscope"))
    assert runs.config("microbeads", "attention_unet").data.dir.endswith("_microscope")
    with pytest.raises(ConfigError, match="no variant 'attention': did you mean 'atte"):
        runs.config("microbeads", "attention")
    assert base.base().data.stratify == config.data.stratify == "auto"
