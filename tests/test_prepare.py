"""The door `python -m jaxseg.prepare`: what it prints, and its exit codes."""

import os
import shlex
import subprocess
import sys

import pytest
from support import dicom_files

from jaxseg import lookup, prepare
from jaxseg.config import check, recipe_file
from jaxseg.data import prepared
from jaxseg.run_directory import older_configs


def _door(*flags, **environment):
    command = [sys.executable, "-m", "jaxseg.prepare", *flags]
    environment = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_prepares_and_prints_the_card(tmp_path):
    raw = dicom_files.siim_tree(tmp_path / "raw", films=24)
    broken = next(raw.rglob("1.2.3.5.dcm"))
    broken.write_bytes(b"")
    flags = ["--dataset=siim_acr", f"--source={raw}", "--seed=3"]
    run = _door(*flags, JAXSEG_DATA=str(tmp_path / "data"))
    assert run.returncode == 0, run.stderr
    directory = tmp_path / "data/siim_acr/1.0.0"
    card = prepared.read_card(directory)
    train = card["splits"]["train"]
    for words in (
        f"train {train['images']} images of {train['groups']} groups, "
        f"{train['positives']} with pneumothorax",
        f"pneumothorax {card['class_weights'][1]:.4g}",
        f"{train['pixels'][1] / sum(train['pixels']):.2%} of the pixels",
        "24 x 20 pixels, 1 x uint8",
        "by patient, stratified by label and area, seed 3",
        f"refused: 1 {broken.relative_to(raw)}: {broken}: this is not a DICOM file.",
        f"in {directory}",
        f"train on it: python -m jaxseg.main --config=pneumothorax "
        f"--config.data.dir={tmp_path / 'data'}",
    ):
        assert words in " ".join(run.stdout.split())
    assert run.stderr.splitlines()[-1] == "Converting: 24 of 24"
    again = _door(*flags, f"--data_dir={tmp_path / 'data'}", "--test=0.3")
    assert again.returncode == 3 and again.stdout == ""
    (line,) = again.stderr.splitlines()
    assert line.startswith("jaxseg: ") and "test=0.15 (now 0.3)" in line


@pytest.mark.parametrize(
    "flags, code, why",
    [
        (["--dataset=siim_arc", "--csv=x"], 2, "did you mean 'siim_acr'?"),
        (["--dataset=siim_acr", "--test=much"], 2, "--test=much"),
        (
            ["--dataset=siim_acr", "--source=a", "--data_dir="],
            2,
            "--data_dir is missing",
        ),
        (
            ["--source=a", "--data_dir=b"],
            2,
            "--dataset is missing; for example: python",
        ),
        (["--dataset=siim_acr", "--source=a", "--data_dir=b"], 3, "a is no folder"),
    ],
)
def test_says_what_is_wrong_in_one_line(flags, code, why, tmp_path):
    run = _door(*flags, JAXSEG_DATA="")
    assert (run.returncode, run.stdout) == (code, "")
    (line,) = run.stderr.splitlines()
    assert line.startswith("jaxseg: ") and why in line


@pytest.mark.parametrize("name", lookup.names("data/datasets"))
def test_the_next_command_trains_on_that_data(name, monkeypatch):
    monkeypatch.setenv("JAXSEG_DATA", "/elsewhere")
    words = prepare.next_command(name, "/my data").split(" ", 3)[-1]
    recipe, *others = shlex.split(words)
    monkeypatch.setenv("JAXSEG_DATA", "/my data")  # as the door does
    config = recipe_file.load(recipe.removeprefix("--config="))
    typed = dict(word.removeprefix("--config.").split("=") for word in others)
    config.update_from_flattened_dict(typed)
    check.check(older_configs.complete(config))
    assert config.data.name == name and config.data.dir == "/my data"
    assert not config.data.demo.images


@pytest.mark.parametrize("name", lookup.names("data/datasets"))
def test_every_data_set_can_be_prepared_from_here(name):
    """Its options become flags, so none may need a value or hide one of the door."""
    module = lookup.find("data/datasets", name)
    options = prepare._options(module)
    assert not options.keys() & {"dataset", "source", "data_dir", "progress"}
    assert all(isinstance(v, bool | int | float | str) for v in options.values())
    assert module.Builder.name == name
