"""Every key says what it means, in the words beside it; every door says its flags."""

import subprocess
import sys

import pytest
from support import runs

import jaxseg.__main__ as index
from jaxseg.config import base, explain


@pytest.fixture(scope="module")
def words():
    return explain.comments()


def test_every_key_is_explained(words):
    assert list(words) == base.keys(base.base())
    assert not [key for key, text in words.items() if not text.strip()]


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("num_seeds", "more: so many runs, and a report of their mean and interval"),
        ("optim.ema", "decay, after a warm-up, of the evaluated average; 0 = none"),
        ("optim.schedule", 'or "poly": (1 - t / T) ** power; "constant"; "plateau"'),
        ("optim.plateau.factor", "times the rate ..."),
        ("model.unet.norm", "or group, instance; jaxseg/models/unet.py"),
        (
            "model.unet_plus_plus.convs",
            "of each level; jaxseg/models/unet_plus_plus.py",
        ),
        ("loss.tversky.smooth", "pixels; jaxseg/losses/tversky.py"),
        ("loss.dice.weight", "of loss.dice: of each image; jaxseg/losses/dice.py"),
        ("decision.segdec.features_multiplier", "of the gradient that flows back into"),
        ("eval.localise.mask_class", "of eval.localise: maps of where the head looks"),
        ("transfer.layer_decay", "of the rate, from each block of the encoder to the"),
    ],
)
def test_a_key_has_the_words_of_its_own_line_or_block(words, key, text):
    assert words[key].startswith(text) or text in words[key], words[key]


def test_keys_stand_as_in_the_source():
    keys = [line[9:].partition("=")[0] for line in explain.lines() if line[:1] == "-"]
    assert len(keys) == len(set(keys))
    block = [key for key in keys if key.startswith("augment.")]
    assert block[:2] == ["augment.flip_horizontal", "augment.flip_vertical"]
    assert block[-1] == "augment.clip"
    assert keys.index("epochs") < keys.index("data.dir") < keys.index("optim.name")
    assert keys.index("checkpoint.keep") + 1 == keys.index("checkpoint.every_steps")


def test_the_commands_are_the_doors_and_each_goes_through_the_one_frame():
    commands = index.commands()
    assert {"main", "prepare", "doctor", "evaluate", "report"} <= set(commands)
    for name, about in commands.items():
        path = runs.ROOT / f"jaxseg/{name}.py"
        path = path if path.is_file() else runs.ROOT / f"jaxseg/{name}/__main__.py"
        framed = "command_line.run(main)" in path.read_text()
        assert framed or name == "report", f"{name}: --help would not exit 0"
        assert len(about) > 20 and about.endswith("."), name


def _door(*words):
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=runs.ROOT, capture_output=True, text=True)


def test_help_exits_0_and_shows_flags_recipes_and_where_keys_are_explained():
    done = _door("jaxseg.main", "--help")
    assert done.returncode == 0, done.stderr
    for text in ("--workdir=", "--dry_run", "Recipes: clicks", "--config.help lists"):
        assert text in done.stdout


def test_help_of_the_config_has_the_values_of_the_recipe():
    done = _door("jaxseg.main", "--config=pneumothorax:smoke", "--config.help")
    assert done.returncode == 0, done.stderr
    assert "--config.sampler.name='balanced'\n    or" in done.stdout
    for key in ("optim.learning_rate", "model.fields", "eval.localise.mask_class"):
        assert f"\n--config.{key}=" in done.stdout


def test_the_list_of_commands_is_printed_and_a_word_is_refused():
    done = _door("jaxseg")
    assert done.returncode == 0 and "python -m jaxseg.predict" in done.stdout
    assert _door("jaxseg", "train").returncode == 2
