"""Longer trainings and children of a run are bit-exact, killed or not."""

import json
import shutil

import jax
import pytest
from support import runs, tiny

from jaxseg import errors
from jaxseg.doctor import audit
from jaxseg.experiment import build
from jaxseg.run_directory import seal
from jaxseg.train import child, loop, open_run, stop


def config(steps):
    few = {"steps": steps, "steps_per_epoch": 2, "optim.warmup_steps": 1}
    few |= {"eval.every_epochs": 1, "eval.patience": 9, "eval.surface": False}
    out = runs.config("clicks", **few)
    out.model.unet.widths = (4, 6)
    return out


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The workdir of a run of two steps. Do not change it."""
    workdir = tmp_path_factory.mktemp("finished") / "run"
    loop.train_and_evaluate(config(2), workdir)
    return workdir


def content(workdir) -> dict[str, bytes]:
    """Every file below the workdir."""
    paths = (path for path in workdir.rglob("*") if path.is_file())
    return {str(path.relative_to(workdir)): path.read_bytes() for path in paths}


def refuse(error):
    """A function that takes anything, and refuses it."""

    def refusal(*args, **kwargs):
        raise error

    return refusal


@pytest.mark.parametrize("why", ["no data", "other data", "doctor", "checkpoint"])
def test_a_refused_extension_leaves_a_finished_run_as_it_was(
    finished, tmp_path, monkeypatch, why
):
    workdir, kind = tmp_path / "run", errors.DataError
    shutil.copytree(finished, workdir)
    if why == "no data":
        monkeypatch.setattr(build, "load", refuse(kind("is no folder")))
    elif why == "other data":
        data = json.loads((workdir / "run.json").read_text())["dataset"]
        data["split_hash"]["test"] = "0" * 64
        runs.edit_record(workdir, dataset=data)
    elif why == "doctor":
        kind = errors.ConfigError
        monkeypatch.setattr(audit, "fast", refuse(kind("doctor: no")))
    else:
        for path in workdir.glob("checkpoints/*/manifest.json"):
            path.write_text("{}")
    before = content(workdir)
    with pytest.raises(kind):
        loop.train_and_evaluate(config(6), workdir)
    assert content(workdir) == before


def test_a_rate_without_a_step_left_is_refused_and_scoring_alone_is_not(
    finished, tmp_path
):
    workdir = tmp_path / "run"
    shutil.copytree(finished, workdir)
    before, other = content(workdir), config(2)
    other.optim.learning_rate = 1e-5
    with pytest.raises(errors.ConfigError, match="done all of its 2 steps"):
        loop.train_and_evaluate(other, workdir)
    assert content(workdir) == before
    scored = config(2)
    scored.eval.bootstrap = 7
    record = loop.train_and_evaluate(scored, workdir)
    assert record["status"] == "finished" and (workdir / "before_2/eval").is_dir()


def test_a_finished_run_keeps_the_config_that_it_sealed(finished, tmp_path):
    workdir, noted = tmp_path / "run", config(2)
    shutil.copytree(finished, workdir)
    before, noted.note = content(workdir), "another word"
    record = loop.train_and_evaluate(noted, workdir)
    seal.check(workdir, record)
    assert content(workdir) == before


def test_going_on_is_noted_and_bit_exact_after_a_kill(tmp_path, monkeypatch):
    a, b = tmp_path / "a", tmp_path / "b"
    loop.train_and_evaluate(config(2), a)
    first = runs.scores(a)
    shutil.copytree(a, b)
    record = loop.train_and_evaluate(config(6), a)
    assert record["status"] == "finished" and record["total_steps"] == 6
    assert record["changes"] == [
        {"step": 2, "key": "steps", "before": "2", "after": "6"}
    ]
    assert runs.scores(a / "before_2") == first != runs.scores(a)
    rows = runs.history(a)
    assert [int(row["step"]) for row in rows] == [2, 4, 6]
    assert all(float(row["validation/loss"]) > 0 for row in rows)
    with monkeypatch.context() as patch:
        patch.setattr(stop.Stop, "by", lambda self, manager, step: step == 4)
        with pytest.raises(errors.Preempted, match="saving step 4 of 6"):
            loop.train_and_evaluate(config(6), b)
    assert json.loads((b / "run.json").read_text())["status"] == "running"
    assert not (b / "eval").exists()
    loop.train_and_evaluate(config(6), b)
    assert runs.history(b) == rows and runs.scores(b) == runs.scores(a)
    states = [runs.last_state(place, config(6)) for place in (a, b)]
    assert tiny.leaves_equal(*states)


def test_a_child_begins_with_all_that_its_parent_learned(
    finished, tmp_path, monkeypatch
):
    parent, a, b = finished, tmp_path / "a", tmp_path / "b"
    other = config(4)
    other.parent, other.optim.learning_rate = str(parent), 1e-4
    begun, begin = [], child.begin

    def spy(*args, **kwargs):
        begun.append(begin(*args, **kwargs))
        return begun[-1]

    monkeypatch.setattr(child, "begin", spy)
    record = loop.train_and_evaluate(other, a)
    (first,) = begun
    assert record["parent"]["step"] == 2 and record["parent"]["left"] == []
    experiment = build.load(other, batch_size=record["batch_size"])
    new = open_run.new_state(other, experiment)
    again = begin(new, other).state  # the first one was given to the step
    learned = runs.last_state(parent, config(2))
    assert tiny.leaves_equal(again.params, learned.params)
    assert tiny.leaves_equal(again.model_state, learned.model_state)
    counts = [int(x) for x in _counts(again.opt_state)]
    assert counts == [2, 0], "of Adam's moments, and of the schedule"
    assert int(again.step) == 0 and first.step == 2
    with monkeypatch.context() as patch:
        patch.setattr(stop.Stop, "by", lambda self, manager, step: step == 2)
        with pytest.raises(errors.Preempted, match="saving step 2 of 4"):
            loop.train_and_evaluate(other, b)
    assert loop.train_and_evaluate(other, b)["parent"] == record["parent"]
    assert runs.history(a) == runs.history(b)
    assert tiny.leaves_equal(*(runs.last_state(place, other) for place in (a, b)))

    wider = config(4)
    wider.parent, wider.model.unet.widths = str(parent), (4, 8)
    wider.optim.name, wider.parent_step = "sgd", "last"
    experiment = build.load(wider, batch_size=record["batch_size"])
    left = begin(open_run.new_state(wider, experiment), wider).left
    assert [line.split(" arrays of ")[1].split(" (")[0] for line in left] == [
        "parameters",
        "statistics of batch norms",
        "state of the optimizer",
    ]
    assert not left[0].startswith("0 of") and "kernel" in left[0]


def _counts(opt_state) -> list:
    leaves = jax.tree_util.tree_flatten_with_path(opt_state)[0]
    return [x for path, x in leaves if "count" in jax.tree_util.keystr(path)]
