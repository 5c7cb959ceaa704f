"""One writer a workdir; files are whole; a resumed history equals an unbroken one."""

import contextlib
import json
import os
import pathlib
import resource
import shlex
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import errors
from jaxseg.run_directory import environment, files

ROOT = pathlib.Path(__file__).parents[2]
HOLD = """
import sys
from jaxseg.run_directory import files
with files.lock(sys.argv[1]):
    sys.stdout.write("held\\n"); sys.stdout.flush()
    sys.stdin.read()
"""


def _holder(workdir):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(workdir)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_run_is_told_who_holds_the_workdir(tmp_path):
    with _holder(tmp_path) as process:
        who = json.loads((tmp_path / "run.lock").read_text())
        with pytest.raises(errors.ConfigError) as caught, files.lock(tmp_path):
            pass
        process.kill()
    assert who["pid"] == process.pid
    for word in (who["host"], str(process.pid), who["since"], str(tmp_path)):
        assert word in str(caught.value)


def test_the_lock_of_a_killed_run_is_taken_over(tmp_path):
    with _holder(tmp_path) as process:
        process.kill()
    assert json.loads((tmp_path / "run.lock").read_text())["pid"] == process.pid
    with files.lock(tmp_path):
        assert json.loads((tmp_path / "run.lock").read_text())["pid"] == os.getpid()
        with pytest.raises(errors.ConfigError), files.lock(tmp_path):
            pass
    with files.lock(tmp_path):
        pass


def test_json_is_replaced_whole_and_refuses_nan(tmp_path):
    path = tmp_path / "deep" / "run.json"
    obj = {"a": np.float32(0.5), "b": jnp.arange(2), "p": tmp_path, "s": {3, 1}}
    files.write_json(path, obj)
    before = {"a": 0.5, "b": [0, 1], "p": str(tmp_path), "s": [1, 3]}
    assert files.read_json(path) == before
    for bad, name in [(float("nan"), "x.y"), (np.float32("-inf"), "x.y")]:
        with pytest.raises(ValueError, match=name):
            files.write_json(path, {"x": {"y": bad}})
    with pytest.raises(ValueError, match="the value is not finite"):
        files.write_json(path, float("nan"))
    with pytest.raises(TypeError, match="object"):
        files.write_json(path, {"x": object()})
    assert files.read_json(path) == before
    assert [p.name for p in path.parent.iterdir()] == ["run.json"]
    undefined = {"x": [np.nan, 1.5, (jnp.inf,)], "n": 10**20}
    assert files.finite(undefined) == {"x": [None, 1.5, [None]], "n": 10**20}


def test_unreadable_json_is_a_data_error(tmp_path):
    (tmp_path / "a.json").write_text('{"a": ')
    for name, words in [("a.json", "not readable"), ("b.json", "does not exist")]:
        with pytest.raises(errors.DataError, match=words):
            files.read_json(tmp_path / name)


def test_config_diff_names_every_leaf():
    old = {"optim": {"rate": 1e-4, "name": "adamw"}, "steps": 3, "size": [8, 8]}
    new = {"optim": {"rate": 3e-4, "name": "adamw"}, "seed": 0, "size": (8, 8)}
    assert files.config_diff(old, old) == []
    lines = ["optim.rate: 0.0001 -> 0.0003", "seed: absent -> 0", "steps: 3 -> absent"]
    assert files.config_diff(old, new) == lines
    assert files.config_diff({"loss": {}}, {"loss": {"dice": 1}}) == [
        "loss: {} -> absent",
        "loss.dice: absent -> 1",
    ]
    assert files.config_diff({"n": 1}, {"n": 1.0}) == ["n: 1 -> 1.0"]


def test_a_changed_config_is_refused_once_something_was_saved(tmp_path):
    config = {"optim": {"rate": 1e-4}, "eval": {"batch": 2}, "size": (8, 8)}
    changed = {**config, "optim": {"rate": 3e-4}}
    assert files.check_config(tmp_path, changed) == "new"
    assert files.check_config(tmp_path, config) == "new"  # nothing was saved yet
    assert files.check_config(tmp_path, config) == "resume"
    (tmp_path / "checkpoints" / "10").mkdir(parents=True)
    files.write_json(tmp_path / "run.json", {})
    assert files.check_config(tmp_path, config) == "resume"
    with pytest.raises(errors.ConfigError, match="optim.rate: 0.0001 -> 0.0003"):
        files.check_config(tmp_path, changed, allowed=("eval", "opt"))
    other = {**config, "eval": {"batch": 9}}
    assert files.check_config(tmp_path, other, allowed=("eval",)) == "resume"
    assert files.read_json(tmp_path / "config.json")["eval"]["batch"] == 9
    (tmp_path / "config.json").unlink()
    with pytest.raises(errors.ConfigError, match="no config.json"):
        files.check_config(tmp_path, config)


def test_environment_names_versions_and_hides_secrets():
    found = environment.environment()
    assert json.loads(json.dumps(found)) == found
    assert found["versions"]["jax"] and found["versions"]["numpy"] == np.__version__
    hidden = environment.command_line(
        ["/usr/bin/python3", "-m", "jaxseg.main", "--config=configs/folder.py"]
        + [
            "--api_key=abc",
            "--TOKEN",
            "abc",
            "--workdir",
            "runs/a",
            "x://me:abc@host/p",
        ]
    )
    assert hidden == (
        "python3 -m jaxseg.main --config=configs/folder.py '--api_key=***' --TOKEN "
        "'***' --workdir runs/a 'x://***@host/p'"
    )


def test_a_command_that_is_kept_can_be_pasted_into_a_shell():
    words = ["python", "-m", "jaxseg.main", "--config.note=a lower rate", "--x=(4, 6)"]
    assert shlex.split(environment.command_line(words)) == words


def test_git_state_follows_the_file(tmp_path):
    def git(*arguments):
        who = ["-c", "user.name=n", "-c", "user.email=e"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True)

    file = tmp_path / "a.py"
    file.write_text("1")
    assert environment.git_state(file) is None
    git("init", "-q")
    assert environment.git_state(file) is None  # not tracked
    git("add", "a.py")
    git("commit", "-q", "-m", "m")
    clean = environment.git_state(file)
    assert len(clean["revision"]) == 40 and clean["dirty"] is False
    file.write_text("2")
    assert environment.git_state(file) == {**clean, "dirty": True}


def test_a_trained_workdir_that_lost_its_record_is_refused(tmp_path):
    """Without it nobody knows on which data the run was begun."""
    config = {"epochs": 2}
    files.check_config(tmp_path, config)
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    with pytest.raises(errors.ConfigError, match="holds no run.json"):
        files.check_config(tmp_path, config)
    files.write_json(tmp_path / "run.json", {})
    assert files.check_config(tmp_path, config) == "resume"
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(errors.DataError, match="holds a list, wants a dict"):
        files.check_config(tmp_path, config)


def test_a_lock_that_finds_no_room_names_the_place(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_FSIZE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # no file may grow
        with pytest.raises(errors.NotWritten, match=r"lock could not be.* make room"):
            stack.enter_context(files.lock(tmp_path))


def test_what_never_ends_is_no_lock_and_no_json(tmp_path):
    os.mkfifo(tmp_path / "run.lock")
    with pytest.raises(errors.DataError, match="run.lock is no regular file"):
        files.lock(tmp_path).__enter__()
    (tmp_path / "run.json").symlink_to("/dev/zero")
    with pytest.raises(errors.DataError, match="run.json is no regular file"):
        files.read_json(tmp_path / "run.json")
