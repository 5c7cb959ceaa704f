"""`config.auto` fills in settings from the data and the machine, once for a run."""

import json
import logging

import numpy as np
import pytest
from PIL import Image
from support import command_lines, runs

from jaxseg.errors import ConfigError
from jaxseg.experiment import from_config, self_configuration
from jaxseg.run_directory import files
from jaxseg.train import loop


@pytest.fixture
def folder(tmp_path):
    """Nine images in two sizes with three classes, the last of them rare."""
    rng = np.random.default_rng(0)
    for i in range(9):
        height, width = (40, 64) if i % 2 else (72, 48)
        mask = np.zeros((height, width), np.uint8)
        mask[8:30, 8:40] = 1
        mask[12:14, 12 : 14 + i % 3] = 2
        image = rng.integers(0, 60, mask.shape) + 70 * mask
        for kind, array in (("images", image), ("masks", mask)):
            (tmp_path / "data" / kind).mkdir(parents=True, exist_ok=True)
            path = tmp_path / "data" / kind / f"{i}.png"
            Image.fromarray(array.astype(np.uint8)).save(path)
    (tmp_path / "data" / "classes.txt").write_text("background\ncell\nspot\n")
    return tmp_path / "data"


def auto(folder, **changes):
    return runs.config("folder", "auto", **{"data.dir": str(folder), **changes})


def test_data_and_machine_choose_and_the_log_says_why(folder, caplog):
    with caplog.at_level(logging.INFO, "absl"):
        config = self_configuration.resolve(auto(folder))
    assert config.data.fit == "crop" and config.data.image_size == (64, 64)
    assert config.loss.cross_entropy.class_weights == "sqrt"
    assert config.steps == 400 and config.steps_per_epoch == 20
    assert config.model.unet.deep_supervision
    reasons = dict(line.split(": ", 1) for line in config.auto.reasons)
    assert "2 sizes" in reasons["data.fit"] and "spot" in str(reasons)
    assert "config.steps = 400 (the recipe has 0)" in caplog.text


def test_sparse_labels_get_a_network_that_can_learn_from_them(folder):
    clicks = {"supervision.name": "clicks", "loss.partial_cross_entropy.weight": 1.0}
    config = self_configuration.resolve(auto(folder, **clicks))
    assert not config.model.unet.deep_supervision
    from_config.model(config, num_classes=3)


def test_without_auto_nothing_changes(folder):
    config = runs.config("folder", "smoke", **{"data.dir": str(folder)})
    assert self_configuration.resolve(config) is config


def test_what_the_command_line_sets_stays(folder):
    keep = {
        "steps": 3,
        "model.unet.widths": (4, 8),
        "auto.keep": ("steps", "model.unet.widths"),
    }
    config = self_configuration.resolve(auto(folder, **keep))
    assert config.steps == 3 and config.model.unet.widths == (4, 8)
    assert not any(line.startswith("steps:") for line in config.auto.reasons)


def test_a_run_that_goes_on_keeps_what_was_chosen(folder, tmp_path, monkeypatch):
    workdir = tmp_path / "run"
    first = self_configuration.resolve(auto(folder), workdir)
    workdir.mkdir()
    files.write_json(workdir / files.CONFIG, first.to_dict())
    other = self_configuration.machine()._replace(kind="gpu", memory_gib=80)
    monkeypatch.setattr(self_configuration, "machine", lambda: other)
    assert self_configuration.resolve(auto(folder)).to_dict() != first.to_dict()
    again = self_configuration.resolve(auto(folder), workdir)
    assert json.dumps(again.to_dict()) == json.dumps(first.to_dict())
    # below it lie the runs of several seeds; another data set chooses for itself
    above = self_configuration.resolve(auto(folder), tmp_path)
    assert above.auto.reasons == first.auto.reasons
    files.write_json(workdir / files.CONFIG, {**first.to_dict(), "data": {"dir": "x"}})
    assert self_configuration.resolve(auto(folder), tmp_path).steps == 5000


def test_a_key_to_keep_that_is_none(folder):
    with pytest.raises(ConfigError, match="config.auto.keep: .* no key config.stepz"):
        self_configuration.resolve(auto(folder, **{"auto.keep": ("stepz",)}))


def test_a_chosen_run_trains_to_its_end(folder, tmp_path):
    short = {
        "steps": 4,
        "steps_per_epoch": 2,
        "optim.warmup_steps": 1,
        "model.unet.widths": (4, 8),
        "eval.bootstrap": 20,
    }
    config = auto(folder, **short, **{"auto.keep": tuple(short)})
    config = self_configuration.resolve(config, tmp_path / "run")
    record = loop.train_and_evaluate(config, tmp_path / "run")
    assert record["status"] == "finished" and record["total_steps"] == 4
    stored = files.read_json(tmp_path / "run" / files.CONFIG)
    assert stored["auto"]["reasons"] and stored["data"]["fit"] == "crop"


def test_the_command_line_keeps_its_own_settings(folder):
    words = ["--config=folder:auto", f"--config.data.dir={folder}", "--config.steps=2"]
    (answer,) = command_lines.answers([words])
    assert answer["config"]["auto"]["keep"] == ["data.dir", "steps"]
    (answer,) = command_lines.answers([["--config=folder", *words[1:]]])
    assert answer["config"]["auto"]["keep"] == []
