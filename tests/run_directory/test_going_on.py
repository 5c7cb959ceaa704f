"""What may change while a run goes on is noted, and old scores do not look current."""

import json

import pytest
from support import fake_run

from jaxseg.errors import ConfigError
from jaxseg.run_directory import files, going_on, seal
from jaxseg.run_directory.files import Change

LONGER = Change("epochs", "2", "3")


@pytest.fixture
def finished(tmp_path):
    """(workdir, its newest step, steps in an epoch) of a run that has ended."""
    workdir = fake_run.make(tmp_path / "run", epochs=2)
    record = seal.read(workdir)
    steps = record["total_steps"]
    (workdir / "checkpoints" / str(steps)).mkdir(parents=True)
    return workdir, steps, record["steps_per_epoch"]


def _config(**changes):
    return {"epochs": 3, "steps": 0, "steps_per_epoch": 0} | changes


def test_a_finished_run_goes_on_and_its_scores_are_set_aside(finished):
    workdir, step, _ = finished
    before = (workdir / "eval" / "test.json").read_bytes()
    record = (workdir / "run.json").read_bytes()
    going_on.prepare(workdir, _config(epochs=9**9), [LONGER])
    kept = workdir / f"before_{step}"
    assert (kept / "eval" / "test.json").read_bytes() == before
    assert (kept / "run.json").read_bytes() == record
    assert not (workdir / "eval").exists()
    assert not (workdir / files.OPERATING_POINT).exists()
    now = seal.read(workdir)
    assert now["status"] == "running" and now["finished"] is None
    change = {"step": step, "key": "epochs", "before": "2", "after": "3"}
    assert now["changes"] == [change] and "digests" not in now
    going_on.prepare(workdir, _config(epochs=9**9), [LONGER])  # killed before it wrote
    assert seal.read(workdir)["changes"] == [change]


def test_what_changes_no_result_touches_nothing(finished):
    workdir, _, _ = finished
    before = (workdir / "run.json").read_bytes()
    going_on.prepare(workdir, _config(), [Change("data.workers", "0", "4")])
    assert (workdir / "run.json").read_bytes() == before
    assert (workdir / "eval").exists()


def test_a_run_does_not_go_back(finished):
    workdir, step, per_epoch = finished
    fewer = Change("epochs", "2", "1")
    with pytest.raises(ConfigError, match=f"has done {step} steps .* not go back"):
        going_on.prepare(workdir, _config(epochs=(step - 1) // per_epoch), [fewer])
    assert (workdir / "eval").exists()


@pytest.mark.parametrize(
    "key", ["optim.learning_rate", "optim.power", "optim.plateau.factor"]
)
def test_what_only_a_step_can_use_needs_a_step(finished, key):
    workdir, step, per_epoch = finished
    change = Change(key, "0.1", "0.2")
    with pytest.raises(ConfigError, match="no step is left .*epochs=MORE .*parent="):
        going_on.prepare(workdir, _config(epochs=2), [change])
    with pytest.raises(ConfigError, match="--config.steps=MORE together with it"):
        going_on.prepare(workdir, _config(steps=step), [change])
    assert (workdir / "eval").exists()
    going_on.prepare(workdir, _config(epochs=2), [Change("eval.bootstrap", "1", "2")])
    assert (workdir / f"before_{step}" / "eval").exists()


def test_a_rate_may_change_together_with_a_longer_training(finished):
    workdir, step, _ = finished
    rate = Change("optim.learning_rate", "0.1", "0.2")
    going_on.prepare(workdir, _config(), [LONGER, rate])
    assert len(seal.read(workdir)["changes"]) == 2


def test_steps_of_an_epoch_stay_and_plateau_is_another_state(finished):
    workdir, step, per_epoch = finished
    more = Change("steps", "5", "9")
    with pytest.raises(ConfigError, match=f"steps_per_epoch={per_epoch} too"):
        going_on.prepare(workdir, _config(steps=step + 1), [more])
    other = _config(steps_per_epoch=per_epoch + 1)
    with pytest.raises(ConfigError, match="they stay"):
        going_on.prepare(workdir, other, [Change("steps_per_epoch", "0", "1")])
    rate = Change("optim.schedule", '"cosine"', '"plateau"')
    with pytest.raises(ConfigError, match="config.parent"):
        going_on.prepare(workdir, _config(), [rate])


def test_patience_is_counted_anew_where_training_is_longer():
    metadata = {"since_best": 7, "stopped": True, "best": None}

    def after(key, start=10, patience=5):
        record = {"changes": [{"step": 10, "key": key, "before": "1", "after": "2"}]}
        out = going_on.notes(record, metadata, start, patience)
        return out["since_best"], out["stopped"]

    assert after("epochs") == after("optim.learning_rate") == (0, False)
    assert after("eval.patience") == (7, True)
    assert after("eval.patience", patience=9) == (7, False)
    assert after("epochs", start=12) == (7, True)  # of an older change


def test_no_key_is_both_free_and_noted():
    assert not any(going_on.covers(going_on.FREE, k) for k in going_on.CHANGEABLE)
    json.dumps(going_on.CHANGEABLE)
