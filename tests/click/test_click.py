"""Rounds of clicks where a model is wrong, from a run to the run after it."""

import json
import os
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from support import older_runs, runs

from jaxseg.click import rounds
from jaxseg.data import sparse_labels
from jaxseg.errors import ConfigError, DataError
from jaxseg.experiment import build, finished_run, from_config
from jaxseg.train import loop
from jaxseg.types import IGNORE

CHANGES = {"supervision.positive": 3, "supervision.negative": 4}


@pytest.fixture(scope="module")
def config():
    return runs.config("clicks", **CHANGES, **{"eval.surface": False})


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("first") / "run"
    loop.train_and_evaluate(config, workdir)
    return workdir


@pytest.fixture(scope="module")
def found(run):
    return rounds.click(run, positive=5, negative=2)


def corrections(truth, answer, *budget, known=None):
    known = np.full_like(truth, IGNORE) if known is None else known
    rng = np.random.default_rng(0)
    return rounds.corrections(truth, answer, known, budget=budget, rng=rng)


def squares():
    """A square of 7 x 7 about (5, 5), one of 3 x 3 about (15, 15), nothing found."""
    truth = np.zeros((20, 20), np.uint8)
    truth[2:9, 2:9], truth[14:17, 14:17] = 1, 1
    return truth, np.zeros_like(truth)


def places(mask, label):
    return set(map(tuple, np.argwhere(mask == label).tolist()))


def test_the_middle_of_the_largest_region_comes_first():
    truth, answer = squares()
    assert places(corrections(truth, answer, 0, 1), 1) == {(5, 5)}
    assert places(corrections(truth, answer, 0, 2), 1) == {(5, 5), (15, 15)}
    turned = corrections(1 - truth, 1 - answer, 1, 0)
    assert places(turned, 0) == {(5, 5)} and not places(turned, 1)


def test_a_click_is_not_spent_where_nothing_is_wrong():
    truth, answer = squares()
    assert (corrections(truth, truth, 9, 9) == IGNORE).all()
    many = corrections(truth, answer, 9, 9)  # two regions, so two clicks
    assert np.count_nonzero(many != IGNORE) == 2
    unknown = np.where(truth == 1, IGNORE, truth)  # nobody knows, nobody is wrong
    assert (corrections(unknown, 1 - truth, 0, 9) == IGNORE).all()


def test_no_pixel_is_clicked_twice():
    truth, answer = squares()
    known = np.full_like(truth, IGNORE)
    known[5, 5], known[14:17, 14:17] = 1, 1
    (place,) = places(corrections(truth, answer, 3, 3, known=known), 1)
    assert truth[place] == 1 and place[0] < 9
    assert 2 <= max(abs(place[0] - 5), abs(place[1] - 5)) < 3.5


def test_another_class_of_foreground_is_a_miss_too():
    truth, answer = squares()
    truth[14:17, 14:17], answer[14:17, 14:17] = 2, 1
    answer[2:9, 2:9], answer[18, 2:5] = 1, 2
    new = corrections(truth, answer, 1, 1, 1)
    assert places(new, 2) == {(15, 15)} and places(new, 0) == {(18, 3)}
    assert not places(new, 1)


def test_new_labels_hold_the_old_ones_and_are_true_where_the_model_is_wrong(
    config, run, found
):
    experiment = build.load(config, batch_size=8)
    split, view = experiment.splits["train"], experiment.parts.view
    learned = finished_run.load(run)  # another way to the answer than that of `rounds`
    model = from_config.model(config, 2)
    images = np.stack([view(split, i)["image"] for i in range(len(split))])
    seen = experiment.parts.normalise(images.astype(np.float32) / 255)
    out = jax.jit(lambda v, x: model.apply(v, x, train=False)["logits"])
    answer = np.asarray(out(learned.variables, seen)).argmax(-1)
    before = sparse_labels.read(run / sparse_labels.FILE)
    assert list(found.labels.ids) == list(split.ids) == list(before.ids)
    spent = np.zeros(2, int)
    for i in range(len(split)):
        truth = view(split, i)["mask"]
        old, new = before.mask(i), found.labels.mask(i)
        known = old != IGNORE
        np.testing.assert_array_equal(new[known], old[known])
        added = (new != IGNORE) & ~known
        np.testing.assert_array_equal(new[added], truth[added])
        assert (answer[i][added] != truth[added]).all()
        counts = np.bincount(new[added], minlength=2)
        assert (counts <= (2, 5)).all()
        # what is wrong in an image gets a click at least
        wrong = [((truth == c) & (answer[i] != c) & ~known).any() for c in (0, 1)]
        np.testing.assert_array_equal(counts > 0, wrong)
        spent += counts
    assert found.spent == spent.tolist() and sum(spent) > 0
    assert found.asked == [2 * len(split), 5 * len(split)]
    assert sum(found.before) + sum(spent) == len(found.labels.label)


def test_the_same_run_gives_the_same_clicks_and_the_next_run_learns_from_them(
    config, run, found, tmp_path
):
    again = rounds.click(run, positive=5, negative=2)
    for one, other in zip(found.labels, again.labels, strict=True):
        np.testing.assert_array_equal(one, other)
    path = tmp_path / "clicks.npz"
    sparse_labels.store(path, found.labels)
    second = config.copy_and_resolve_references()
    second.supervision.name, second.supervision.paths = "stored", (str(path),)
    record = loop.train_and_evaluate(second, tmp_path / "run")
    assert record["status"] == "finished"
    assert record["supervision"]["labelled_pixels"] == len(found.labels.label)
    used = sparse_labels.read(tmp_path / "run" / sparse_labels.FILE)
    for name in ("image", "y", "x", "label"):
        np.testing.assert_array_equal(
            getattr(used, name), getattr(found.labels, name), err_msg=name
        )
    third = rounds.click(tmp_path / "run", positive=0, negative=1)
    assert third.spent[1] == 0 and third.before[1] == np.sum(found.labels.label == 1)
    assert third.labels.options["before"]["name"] == "stored"


def test_a_run_with_full_masks_begins_with_no_labels(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / sparse_labels.FILE).unlink()
    with pytest.raises(DataError, match="supervision.npz"):
        rounds.click(tmp_path / "run", positive=1, negative=1)
    full = json.loads((run / "config.json").read_text())
    full["supervision"]["name"] = "full"
    (tmp_path / "run" / "config.json").write_text(json.dumps(full))
    older_runs.unseal(tmp_path / "run")
    found = rounds.click(tmp_path / "run", positive=2, negative=1)
    assert found.full and found.before == [0, 0]
    assert len(found.labels.label) == sum(found.spent) > 0
    assert "begin with none" in rounds.describe(found)


def test_a_wrong_run_is_named(run, tmp_path):
    for budget in ((-1, 3), (0, 0)):
        with pytest.raises(ConfigError, match="--positive="):
            rounds.click(run, positive=budget[0], negative=budget[1])
    shutil.copytree(run, tmp_path / "run")
    labels = sparse_labels.read(run / sparse_labels.FILE)
    (tmp_path / "run" / sparse_labels.FILE).unlink()
    sparse_labels.store(
        tmp_path / "run" / sparse_labels.FILE, labels._replace(size=(64, 32))
    )
    with pytest.raises(DataError, match="does not hold labels of the training images"):
        rounds.click(tmp_path / "run", positive=1, negative=1)
    runs.edit_record(tmp_path / "run", status="running")
    with pytest.raises(ConfigError, match="not finished .running."):
        rounds.click(tmp_path / "run", positive=1, negative=1)


def click(*arguments, command=("-m", "jaxseg.click")):
    own = {"JAX_PLATFORMS": "cpu", "JAXSEG_CACHE": os.environ["JAXSEG_CACHE"]}
    return subprocess.run(
        [sys.executable, *command, *map(str, arguments)],
        cwd=runs.ROOT,
        env={**runs.OUTSIDE, **own},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_command_writes_a_file_says_what_it_spent_and_replaces_none(
    run, found, tmp_path
):
    path = tmp_path / "clicks.npz"
    words = (f"--run={run}", "--positive=5", "--negative=2", f"--output={path}")
    done = click(*words)
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert [int(n) for n in rows["cell"][:3]] == [
        found.before[1],
        found.asked[1],
        found.spent[1],
    ]
    assert int(rows["all"][3]) == len(sparse_labels.read(path).label)
    assert f"--config.supervision.paths={path}" in done.stdout
    before = path.read_bytes()
    again = click(*words)
    assert again.returncode == 2 and "exists and is not replaced" in again.stderr
    assert path.read_bytes() == before
    nothing = click("--output=x.npz")
    assert nothing.returncode == 2 and "name the run" in nothing.stderr
    pair = "import jax, runpy; jax.process_count = lambda: 2; "
    pair += "runpy.run_module('jaxseg.click', run_name='__main__', alter_sys=True)"
    two = click(f"--run={run}", f"--output={tmp_path}/b.npz", command=("-c", pair))
    assert two.returncode == 2 and "start it in one process" in two.stderr


def test_the_paths_of_stored_labels_are_typed_as_one_word_or_as_a_tuple():
    code = "import sys; from jaxseg.config import command_line as cli; "
    code += "config = cli.define_config(); "
    code += "cli.run(lambda argv: print(config.value.supervision.paths))"
    for typed, want in {
        "a/clicks.npz": ("a/clicks.npz",),
        "/a/clicks.npz": ("/a/clicks.npz",),
        "('a.npz', 'b.npz')": ("a.npz", "b.npz"),
    }.items():
        word = f"--config.supervision.paths={typed}"
        done = subprocess.run(
            [sys.executable, "-c", code, "--config=configs/clicks.py:smoke", word],
            cwd=runs.ROOT,
            capture_output=True,
            text=True,
        )
        assert done.stdout.strip() == str(want), done.stderr
