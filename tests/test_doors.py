"""Every door works with data workers, which start Python again beside it.

A spawned worker must not run the door's own module again: its flags would be defined
twice, or the training start once more in each worker.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import types

import pytest
from support import runs

from jaxseg import atomic
from jaxseg.config import stored
from jaxseg.data.preparation import build_once
from jaxseg.doctor import pictures
from jaxseg.errors import ConfigError, NotWritable
from jaxseg.predict import outputs
from jaxseg.report.comparison import build
from jaxseg.run_directory import files
from jaxseg.weights import save

RECIPE = """
import importlib.util

spec = importlib.util.spec_from_file_location("clicks", {clicks!r})
clicks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(clicks)

def get_config(arg=""):
    config = clicks.get_config("smoke")
    config.name = "doors"
    config.data.workers = 2
    config.model.unet.widths = (4, 6)
    config.eval.surface = False
    return config

def get_sweep(seeds=1):
    return {{"a": {{"seed": 0}}}}
"""


def door(name, *arguments, cwd, code=0) -> str:
    """What `python -m jaxseg.NAME` prints; it must end with this exit code."""
    own = {"JAX_PLATFORMS": "cpu", "JAXSEG_CACHE": os.environ["JAXSEG_CACHE"]}
    own |= {"JAXSEG_DATA": "", "PYTHONPATH": str(runs.ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", f"jaxseg.{name}", *map(str, arguments)],
        cwd=cwd,
        env=runs.OUTSIDE | own,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a recipe whose data is read by two workers, and a sweep of it."""
    folder = tmp_path_factory.mktemp("doors")
    clicks = str(runs.ROOT / "configs/clicks.py")
    (folder / "doors.py").write_text(RECIPE.format(clicks=clicks))
    focal = "--config.loss.focal.gamma=1.0"
    out = door("sweep", "--config=doors.py", focal, "--workdir=sweep", cwd=folder)
    assert out.count("config.loss.focal.gamma has no effect") == 1
    return folder


def test_sweep_trained_its_member_with_workers(place):
    assert (place / "sweep/a/report.html").is_file()
    assert len(runs.history(place / "sweep/a")) == 1


def test_doctor_examines_with_workers(place):
    out = door("doctor", "--config=doors.py", cwd=place)
    assert "gradients" in out


@pytest.mark.parametrize("below", ["file", "/proc"])
@pytest.mark.parametrize(
    "look",
    [
        atomic.check_folder,
        lambda path: files.lock(path).__enter__(),
        lambda path: stored.note(["door"], "folder", path),
        lambda path: save.check_free(path.parent / "a.npz"),
        lambda path: pictures.check_free(path),
        lambda path: outputs.check_place(path, pathlib.Path("images")),
        lambda path: build.earlier(path),
        lambda path: build_once.once(
            types.SimpleNamespace(name="set", VERSION="1.0.0"),
            source=pathlib.Path(),
            files=[],
            data_dir=path,
            options={},
            build=None,
        ),
    ],
    ids=["folder", "lock", "sweep", "file", "doctor", "predict", "report", "prepare"],
)
def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path, below, look):
    (tmp_path / "file").write_text("")
    path = tmp_path / below / "a/b"
    words = {"file": "a part of the path is a file", "/proc": "no folder can be made"}
    words = rf"cannot be written \(.*\): {words[below]}.*name another place\."
    with pytest.raises(
        (ConfigError, NotWritable), match=rf"{words}|there is no folder"
    ):
        look(path)
    assert [*tmp_path.iterdir()] == [tmp_path / "file"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", "--pixel_size=nan"], "--pixel_size=nan: give a finite number."),
        (["predict", "--pixel_size=1e400"], "--pixel_size=inf: give a finite number."),
        (["predict", f"--max_pixels={10**23}"], f"--max_pixels={10**23}: give a num"),
        (["predict", "--run=a", "--input=a", "--output=b", "--tile=9999999x9"], "--ti"),
        (["model_table", f"--size={10**20}x16"], f"--size is '{10**20}x16'; give hei"),
        (["model_table", "--classes=40000"], "--channels is 3 and --classes 40000; b"),
        (["sweep", "--config=clicks:smoke", "--seeds=20000"], "--seeds is 20000; it"),
        (["main", "--coordinator_timeout_s=nan"], "--coordinator_timeout_s=nan: give"),
        (["prepare", "--dataset=elpv", "--threshold=nan"], "--threshold=nan: give"),
        (
            "evaluate --masks=m --data_dir=d --name=a --output=/proc/x".split(),
            "/proc cannot be written",
        ),
    ],
)
def test_what_no_door_can_use_is_one_line_and_exit_code_2(tmp_path, words, said):
    done = subprocess.run(
        [sys.executable, "-m", f"jaxseg.{words[0]}", *words[1:]],
        cwd=tmp_path,
        env=runs.OUTSIDE | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(runs.ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and f"jaxseg: {said}" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_doors_to_a_finished_run(place):
    run = "--run=sweep/a"
    assert ": yes" in door("evaluate", run, "--split=test", cwd=place)
    assert "images a second" in door("evaluate", run, "--cost", cwd=place)
    door("click", run, "--positive=1", "--negative=1", cwd=place)
    assert (place / "clicks.npz").is_file()
    door("export", run, "--format=jaxseg", "--output=a.safetensors", cwd=place)
    assert (place / "a.safetensors").is_file()


def test_a_changed_score_is_told_before_no_report_is_built(place):
    shutil.copytree(place / "sweep/a", place / "changed")
    path = place / "changed/eval/test.json"
    images = files.read_json(path)["images"]
    files.write_json(path, files.read_json(path) | {"images": images + 1})
    out = door("evaluate", "--run=changed", cwd=place, code=3)
    assert f"images is {images + 1} there, {images} now" in out
    assert "the new scores are in changed/eval_again" in out
    assert "so no report was built: changed/eval_again/test.json is what it" in out
    door("report", "sweep/a", cwd=place)
