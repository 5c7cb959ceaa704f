"""A training given in steps ends on its last step, alone, resumed and together."""

import json

import pytest
from support import runs, tiny

from jaxseg import errors
from jaxseg.sweep import vmap_loop
from jaxseg.train import dry_run, loop, stop


def config(**changes):
    few = {"steps": 5, "steps_per_epoch": 2, "epochs": 9, "optim.warmup_steps": 2}
    few |= {
        "eval.every_epochs": 1,
        "model.name": "unet",
        "eval.surface": False,
        "sampler.seed": 0,
    }
    out = runs.config("clicks", **few)
    out.model.unet = {"widths": (4, 6)}
    out.update_from_flattened_dict(changes)
    return out


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("steps") / "run"
    loop.train_and_evaluate(config(), workdir)
    return workdir


def _rows(workdir) -> list[tuple[int, int]]:
    rows = runs.history(workdir)
    assert all(row["validation/dice_pooled"] for row in rows)
    return [(int(row["epoch"]), int(row["step"])) for row in rows]


def test_every_epoch_has_its_row_and_the_last_is_shorter(straight):
    assert _rows(straight) == [(1, 2), (2, 4), (3, 5)]
    record = json.loads((straight / "run.json").read_text())
    assert (record["epochs"], record["total_steps"]) == (3, 5)
    assert record["images_seen"] == 5 * record["batch_size"]
    rates = [float(row["learning_rate"]) for row in runs.history(straight)]
    peak = config().optim.learning_rate  # half of it in warm-up, then a cosine
    assert rates == pytest.approx([peak / 2, 0.75 * peak, 0.25 * peak], rel=1e-4)


@pytest.mark.parametrize("at", [3, 4])
def test_stopping_before_the_short_epoch_or_within_changes_no_bit(
    at, straight, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(stop.Stop, "by", lambda self, manager, step: step == at)
        with pytest.raises(errors.Preempted, match=f"saving step {at} of 5"):
            loop.train_and_evaluate(config(), tmp_path / "run")
    loop.train_and_evaluate(config(), tmp_path / "run")
    assert runs.history(tmp_path / "run") == runs.history(straight)
    assert runs.scores(tmp_path / "run") == runs.scores(straight)
    states = [runs.last_state(w, config()) for w in (tmp_path / "run", straight)]
    assert tiny.leaves_equal(*states)


def test_runs_together_end_on_the_same_steps(straight, tmp_path, monkeypatch):
    members = {"one": config(), "two": config(seed=1)}
    pairs = [(c, tmp_path / name) for name, c in members.items()]
    with monkeypatch.context() as patch:
        patch.setattr(stop.Stop, "by", lambda self, manager, step: step == 4)
        with pytest.raises(errors.Preempted, match="saving step 4 of 5 of 2 runs"):
            vmap_loop.train_and_evaluate(pairs)
    vmap_loop.train_and_evaluate(pairs)
    for name in members:
        assert _rows(tmp_path / name) == _rows(straight)
    losses = [float(runs.history(w)[-1]["loss"]) for w in (tmp_path / "one", straight)]
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)


def test_the_plan_says_steps_and_epochs():
    text = dry_run.describe(config())
    assert "2 steps per epoch, 5 steps in all (2.5 epochs, 2 steps of warm-up)" in text
