"""A run directory alone says how to go on: its config, or the command of its runs."""

import json

import pytest
from ml_collections import ConfigDict
from support import runs

from jaxseg.config import stored
from jaxseg.errors import ConfigError
from jaxseg.run_directory import files, older_configs


@pytest.mark.parametrize("name", ["pneumothorax", "clicks", "folder", "microbeads"])
def test_a_stored_config_comes_back_as_it_was(name, tmp_path):
    config = runs.config(name, recipe="")
    config.loss.mine = ConfigDict({"module": "my.loss", "weight": 1.0, "power": 2})
    path = tmp_path / "config.json"
    files.write_json(path, config.to_dict())
    again = stored.load(path)
    assert not files.config_diff(*map(files.plain, (config.to_dict(), again.to_dict())))
    again.optim.learning_rate = 1  # the kinds are those of base.py
    assert isinstance(again.optim.learning_rate, float)


def test_keys_that_came_later_mean_what_was_done_before(tmp_path):
    config = runs.config("clicks").to_dict()
    del config["eval"]["loss"]
    files.write_json(tmp_path / "config.json", config)
    assert stored.load(tmp_path / "config.json").eval.loss is False
    assert older_configs.NEW["eval.loss"] is False


def test_a_file_that_is_no_config_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ConfigError, match="no config of a run"):
        stored.load(tmp_path / "config.json")


def test_a_workdir_stands_for_its_config_and_more_comes_on_top(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    argv = ["jaxseg/main.py", f"--workdir={tmp_path}", "--config.epochs=9"]
    words = stored.words(argv, None, str(tmp_path))
    assert words == [argv[0], f"--config={tmp_path}/config.json", *argv[1:]]
    assert stored.words(argv, "clicks", str(tmp_path)) == argv
    assert stored.words(argv, None, str(tmp_path / "nothing")) == argv


def test_several_runs_stand_for_the_command_that_began_them(tmp_path):
    argv = ["jaxseg/main.py", "--config", "mine.py:full", "--config.num_seeds=3"]
    argv += ["--workdir", str(tmp_path), "--config.epochs=2"]
    stored.note(argv, "mine.py:full", tmp_path)
    content = json.loads((tmp_path / "command.json").read_text())
    assert content["door"] == "jaxseg.main"
    recipe, *more = content["words"]
    assert recipe.startswith("--config=/") and recipe.endswith("/mine.py:full")
    assert more == ["--config.num_seeds=3", "--config.epochs=2"]
    again = ["jaxseg/main.py", f"--workdir={tmp_path}"]
    assert stored.words(again, None, str(tmp_path)) == [
        again[0],
        *content["words"],
        again[1],
    ]
    sweep = ["jaxseg/sweep/__main__.py", again[1]]
    with pytest.raises(ConfigError, match="python -m jaxseg.main --workdir="):
        stored.words(sweep, None, str(tmp_path))
