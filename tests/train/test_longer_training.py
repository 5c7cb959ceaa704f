"""A finished run that goes on to more steps, killed or not, is one and the same."""

import json
import shutil

import pytest
from support import runs, tiny

from jaxseg import errors
from jaxseg.train import loop, stop


def config(steps):
    few = {"steps": steps, "steps_per_epoch": 2, "optim.warmup_steps": 1}
    few |= {"eval.every_epochs": 1, "eval.patience": 9, "eval.surface": False}
    out = runs.config("clicks", **few)
    out.model.unet.widths = (4, 6)
    return out


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
