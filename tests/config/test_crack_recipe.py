"""The recipe of SegDecNet: published numbers, balanced weights, shares of masks."""

import importlib.util

import jax
import jax.numpy as jnp
import pytest
from support import runs

from jaxseg import schedule
from jaxseg.config import check_decision, limits
from jaxseg.experiment import from_config
from jaxseg.train_step import state

# size, dilate, epochs, rate, delta, batch, p, w_max
TABLE = {
    "full": ((640, 232), 1, 50, 1.0, 0.01, 1, 0.0, 1.0),
    "ksdd2": ((640, 232), 15, 50, 0.01, 1.0, 1, 2.0, 3.0),
    "dagm": ((512, 512), 7, 70, 0.05, 1.0, 1, 1.0, 10.0),
    "severstal": ((256, 1600), 1, 40, 0.1, 0.1, 10, 2.0, 1.0),
}
PARAMETERS = {"full": 15_638_812, "plusplus": 16_151_836, "severstal": 15_638_812}


def recipe():
    spec = importlib.util.spec_from_file_location(
        "cracks", runs.ROOT / "configs/cracks.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def weights(config, epoch):
    """The weights of the terms that have one, in an epoch of the run."""
    when = {"progress": 0.5, "epoch": epoch, "epochs": config.epochs}
    terms = {name: schedule.at(b.weight, **when) for name, b in config.loss.items()}
    used = {n for n, b in config.loss.items() if any(schedule.values(b.weight))}
    return {name: float(terms[name]) for name in used}


def multipliers(config):
    head = config.decision.segdec
    return {head.features_multiplier, head.maximum_multiplier, head.average_multiplier}


@pytest.mark.parametrize("name", TABLE)
def test_a_benchmark_has_its_published_numbers(name):
    config = runs.config("cracks", name)
    term, optim = config.loss.coarse_cross_entropy, config.optim
    delta = config.loss.image_cross_entropy.weight[2]
    row = (config.data.image_size, term.dilate, config.epochs, optim.learning_rate)
    row += (delta, config.batch_size, term.power, term.w_max)
    assert row == TABLE[name]
    assert config.data.name == ("sccdnet" if name == "full" else name)
    assert (optim.name, optim.momentum, optim.final_scale) == ("sgd", 0.0, 1.0)
    assert optim.weight_decay == optim.clip_norm == optim.warmup_epochs == 0.0
    assert config.sampler.name == "frequency" and multipliers(config) == {0.0}


@pytest.mark.parametrize("name", ["full", "plusplus", "ksdd2", "demo"])
@pytest.mark.parametrize("epochs", [None, 7])
def test_the_balance_holds_for_any_number_of_epochs(name, epochs):
    config = runs.config("cracks", name)
    config.epochs = epochs or config.epochs
    delta = config.loss.image_cross_entropy.weight[2]
    mask = "distance" if name in ("plusplus", "demo") else "coarse"
    for epoch in (0, 1, config.epochs - 1):
        share = 1 - epoch / config.epochs
        expected = {f"{mask}_cross_entropy": share}
        expected |= {"image_cross_entropy": delta * (1 - share)}
        expected |= {"dice_batch": 1.0} if name == "demo" else {}
        assert weights(config, epoch) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["full", "plusplus", "ksdd2", "demo"])
def test_labels_of_images_alone_are_not_balanced_and_teach_the_whole_network(name):
    config = runs.config("cracks", f"{name}_weak")
    assert config.supervision.masks == 0.0 and multipliers(config) == {1.0}
    mask = "distance" if name in ("plusplus", "demo") else "coarse"
    constant = {f"{mask}_cross_entropy": 1.0, "image_cross_entropy": 1.0}
    assert weights(config, 0) == weights(config, config.epochs - 1) == constant
    assert config.data.image_size == runs.config("cracks", name).data.image_size


@pytest.mark.parametrize("name", [*TABLE, "plusplus", "demo", "smoke", "dagm_weak"])
def test_a_variant_fits_together_and_its_network_is_the_published_one(name):
    config = runs.config("cracks", name)
    check_decision.check(config)
    limits.check(config)
    model = from_config.model(config, 2)
    image = jnp.zeros((1, *config.data.image_size, 3))
    shapes = jax.eval_shape(
        lambda key: model.init(key, image, train=False), jax.random.key(0)
    )
    number = state.count(shapes["params"])
    assert number == PARAMETERS.get(name, number)
    assert (number < 1_000_000) == (name in ("demo", "smoke"))


def test_the_sweep_is_five_shares_of_masks_and_three_seeds():
    members = recipe().get_sweep()
    assert len(members) == 15
    for name, changes in members.items():
        config = runs.config("cracks", "demo", **changes)
        check_decision.check(config)
        assert name == f"masks{config.supervision.masks:g}-seed{config.seed}"
        weak = config.supervision.masks == 0
        assert multipliers(config) == {float(weak)}
        assert (weights(config, 0)["image_cross_entropy"] > 0) == weak


def test_what_runs_without_a_word(tmp_path, monkeypatch):
    monkeypatch.delenv("JAXSEG_DATA", raising=False)
    assert runs.config("cracks", "").recipe == "demo"
    (tmp_path / "train" / "images").mkdir(parents=True)
    monkeypatch.setenv("JAXSEG_DATA", str(tmp_path))
    config = runs.config("cracks", "")
    assert (config.recipe, config.data.dir) == ("full", str(tmp_path))
    assert runs.config("cracks", "demo").data.dir == ""
