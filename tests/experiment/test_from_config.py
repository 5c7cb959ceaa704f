"""From a config to parts: what can be wrong is said at the start."""

import json

import numpy as np
import pytest
from ml_collections import ConfigDict
from support import runs

from jaxseg import errors
from jaxseg.data.phantoms import siim_tree
from jaxseg.experiment import from_config, training_plan


def test_two_first_starts_share_one_set_of_phantoms(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXSEG_CACHE", str(tmp_path))
    write = siim_tree.write

    def slower(directory, **options):
        write(directory, **options)  # the other run
        write(directory, **options)  # ours, too late

    monkeypatch.setattr(siim_tree, "write", slower)
    directory = from_config.dataset(runs.config("pneumothorax"))
    assert (directory / "card.json").exists()


def test_a_batch_that_devices_cannot_share_says_what_does():
    config = runs.config("pneumothorax", batch_size=6)
    with pytest.raises(errors.ConfigError, match="4 device.* multiple of 4"):
        training_plan.batch_size(config)
    assert training_plan.batch_size(config, 8) == 8  # of the run so far
    config.batch_size = 0
    assert training_plan.batch_size(config) == 4 * config.per_device_batch


def test_an_auxiliary_head_that_would_never_learn_is_refused():
    config = runs.config("pneumothorax", aux_weight=0.0)
    with pytest.raises(errors.ConfigError, match="aux=False"):
        from_config.model(config, 2)


def test_every_loss_at_weight_zero_is_refused():
    config = runs.config("pneumothorax")
    for name in config.loss:
        config.loss[name].weight = 0.0
    with pytest.raises(errors.ConfigError, match="give one a weight"):
        from_config.losses(config, np.ones((1, 2), int))


def test_a_model_of_a_stored_config_has_a_hash():
    """JSON has lists where a recipe has tuples; what is computed of a model is kept."""
    config = runs.config("clicks", **runs.SMALL)
    stored = ConfigDict(json.loads(config.to_json()))
    model = from_config.model(stored, 2)
    assert model.widths == runs.SMALL["model.unet.widths"]
    assert hash(model) == hash(from_config.model(config, 2))
