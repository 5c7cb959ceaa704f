"""A recipe is found by its path, and a packaged one by its name from anywhere."""

import os
import subprocess
import sys

import pytest
from support import command_lines, runs

from jaxseg import errors
from jaxseg.config import recipe_file

NAMES = sorted(p.stem for p in (runs.ROOT / "configs").glob("*.py"))
BUILD = """
import setuptools
setuptools.setup(script_args=[
    "-q", "egg_info", "--egg-base", {there!r},
    "build", "--build-base", {there!r}, "--build-lib", {there!r} + "/lib",
])
"""
LOAD = """
import pathlib, sys, jaxseg
from jaxseg.config import recipe_file
assert pathlib.Path(jaxseg.__file__).is_relative_to(sys.argv[1]), jaxseg.__file__
assert recipe_file.folder() == pathlib.Path(sys.argv[1]) / "jaxseg" / "recipes"
for name in recipe_file.names():
    print(recipe_file.load(name + ":smoke").name)
"""


def test_a_name_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert recipe_file.names() == NAMES
    for name in NAMES:
        path = runs.ROOT / "configs" / f"{name}.py"
        assert recipe_file.find(name) == recipe_file.find(f"{name}:smoke") == path
        assert recipe_file.load(f"{name}:smoke") == runs.config(name)
    commands = [["--config=pneumothorax:demo"], ["--config", "folder:smoke"]]
    answers = command_lines.answers(commands, cwd=tmp_path)
    assert answers[0]["config"]["recipe"] == "demo"
    assert "recipe 'smoke' needs data" in answers[1]["error"]


def test_a_path_is_found_where_it_points(tmp_path, monkeypatch):
    mine = tmp_path / "folder.py"  # as a packaged one is called
    mine.write_text("from ml_collections import ConfigDict\nget_config = ConfigDict\n")
    monkeypatch.chdir(tmp_path)
    for text in ("folder.py", "./folder.py", str(mine)):
        assert not recipe_file.load(text).to_dict()
    assert recipe_file.load("folder").name == "folder"


@pytest.mark.parametrize(
    "text,message",
    [
        ("pneumotorax", "no recipe 'pneumotorax' .*: did you mean 'pneumothorax'?"),
        ("qqq:demo", r"no recipe 'qqq' .*choose one of \['clicks', 'covid'"),
        ("configs/pneumotorax.py", "no config file .*mean configs/pneumothorax.py?"),
        ("nowhere/clicks.py", "mean the packaged recipe, --config=clicks?"),
        ("nowhere/qqq.py", "Packaged recipes: clicks, covid, cracks"),
        ("pneumothorax:dmo", "no variant 'dmo': did you mean 'demo'?"),
        ("clicks:5x5", "no variant '5x5': did you mean '5"),
    ],
)
def test_a_wrong_name_gets_the_nearest_right_one(text, message, monkeypatch):
    monkeypatch.chdir(runs.ROOT)
    with pytest.raises(errors.ConfigError, match=message):
        recipe_file.load(text)


@pytest.mark.parametrize(
    "text,message",
    [
        ("x = 1", "is no recipe: it has no get_config"),
        ("def get_config(:", "is not valid Python"),
        ("import not_there", "line 1: ModuleNotFoundError"),
        ("def get_config(a=''):\n    return 1 / 0", "line 2: ZeroDivisionError"),
        ("def get_config(a=''):\n    return 3", "returned no ConfigDict: 3"),
    ],
)
def test_a_broken_recipe_says_where(text, message, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(text + "\n")
    with pytest.raises(errors.ConfigError, match=message) as caught:
        recipe_file.load(f"{path}:smoke")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_wheel_has_the_recipes(tmp_path):
    """What setuptools puts into a wheel, used outside of the repository."""
    there = str(tmp_path / "build")
    os.mkdir(there)
    built = subprocess.run(
        [sys.executable, "-c", BUILD.format(there=there)],
        cwd=runs.ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    lib = f"{there}/lib"
    done = subprocess.run(
        [sys.executable, "-c", LOAD, lib],
        env=runs.OUTSIDE | {"PYTHONPATH": lib, "JAXSEG_DATA": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == NAMES
