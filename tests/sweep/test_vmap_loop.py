"""Runs that train together equal those that train alone, and go on like them."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from support import runs

from jaxseg import errors
from jaxseg.experiment import build
from jaxseg.sweep import vmap_loop, vmap_step
from jaxseg.train import loop, stop


def config(**changes):
    base = {
        "epochs": 2,
        "sampler.seed": 0,
        "model.name": "unet",
        "supervision.name": "clicks",
        "eval.surface": False,
    }
    out = runs.config("pneumothorax", **base)
    out.model.unet = {"widths": (4, 6)}
    out.loss.cross_entropy.class_weights = None
    out.update_from_flattened_dict(changes)
    return out


MEMBERS = {
    "few": {"seed": 0, "supervision.positive": 3},
    "many": {"seed": 1, "supervision.positive": 30, "optim.learning_rate": 4e-3},
    "heavy": {"seed": 2, "loss.cross_entropy.weight": 2.5},
}
ALONE = ("many", "heavy")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """{member: (workdir trained alone, workdir trained with the others)}."""
    root = tmp_path_factory.mktemp("runs")
    group = {name: config(**changes) for name, changes in MEMBERS.items()}
    vmap_loop.train_and_evaluate([(c, root / "with" / n) for n, c in group.items()])
    for name in ALONE:
        loop.train_and_evaluate(group[name], root / "alone" / name)
    return {name: (root / "alone" / name, root / "with" / name) for name in group}


@pytest.mark.parametrize("name", ALONE)
def test_each_equals_its_run_alone(pairs, name):
    alone, among = pairs[name]
    rows = [runs.history(workdir) for workdir in (alone, among)]
    assert len(rows[0]) == len(rows[1]) == 2 and rows[0][0].keys() == rows[1][0].keys()
    for one, other in zip(*rows, strict=True):
        for column in one.keys() - {"validation/loss"}:
            if one[column] != other[column]:
                np.testing.assert_allclose(
                    float(one[column]), float(other[column]), rtol=2e-3, atol=1e-5
                )
    states = [runs.last_state(w, config(**MEMBERS[name])) for w in (alone, among)]
    for a, b in zip(*(runs.leaves(s.params) for s in states), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-2, atol=2e-4)
    artifacts = [(w / "supervision.npz").read_bytes() for w in (alone, among)]
    assert artifacts[0] == artifacts[1]
    assert json.loads((among / "run.json").read_text())["status"] == "finished"
    assert (among / "eval" / "test.json").exists()


def test_members_differ(pairs):
    found = [runs.history(among)[-1]["loss"] for _, among in pairs.values()]
    assert len(set(found)) == 3


def test_a_stopped_group_goes_on_and_one_that_is_ahead_steps_back(
    pairs, tmp_path, monkeypatch
):
    group = [(config(**changes), tmp_path / n) for n, changes in MEMBERS.items()]
    with monkeypatch.context() as patch:
        patch.setattr(stop.Stop, "by", lambda self, manager, step: True)
        with pytest.raises(errors.Preempted, match="of 3 runs"):
            vmap_loop.train_and_evaluate(group)
        first = json.loads((tmp_path / "few" / "run.json").read_text())
        later = first["steps_per_epoch"] + 1
        patch.setattr(stop.Stop, "by", lambda self, manager, step: step == later)
        with pytest.raises(errors.Preempted):  # as if the other had been killed
            loop.train_and_evaluate(*group[0])
    vmap_loop.train_and_evaluate(group)
    for name, (_, workdir) in zip(MEMBERS, group, strict=True):
        one, other = runs.history(pairs[name][1])[-1], runs.history(workdir)[-1]
        assert float(one["loss"]) == pytest.approx(float(other["loss"]), rel=2e-3)
    for _, workdir in group:
        steps = [int(row["step"]) for row in runs.history(workdir)]
        assert steps == sorted(set(steps)) and len(steps) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"optim.weight_decay": 0.5},
        {"epochs": 3},
        {"model.name": "attention_unet"},
        {"supervision.name": "full"},
    ],
)
def test_other_differences_are_refused(changes):
    with pytest.raises(errors.ConfigError, match="cannot train together"):
        vmap_step.hyper([config(), config(**changes)])


def test_shares_of_masks_train_together_and_each_sees_its_own():
    mixed = {"supervision.name": "mixed", "supervision.seed": 0}
    mixed |= {"loss.image_label.weight": 1.0}
    shares = (0.0, 0.5, 1.0)
    group = [config(**mixed, **{"supervision.masks": share}) for share in shares]
    vmap_step.hyper(group)
    first = build.load(group[0], batch_size=8)
    members = [first, *(build.sibling(first, other) for other in group[1:])]
    members = [SimpleNamespace(experiment=one) for one in members]
    split, view = first.splits["train"], first.parts.view
    met = np.zeros(len(group), int)
    for batch in build.train_batches(first, steps=3):
        masks = vmap_loop._masks(members, batch)
        for k, index in enumerate(batch["index"].tolist()):
            for m, member in enumerate(members):
                hidden = not member.experiment.labels().whole[index]
                stored = view(split, index)["mask"]
                wanted = np.full_like(stored, 255) if hidden else stored
                np.testing.assert_array_equal(masks[m, k], wanted)
                met[m] += hidden
    assert met[0] > met[1] > met[2] == 0


def test_seeds_share_batches_only_where_the_order_is_fixed():
    one, two = config(seed=0), config(seed=1)
    assert vmap_step.key(one) == vmap_step.key(two) != ()
    one.sampler.seed = two.sampler.seed = -1
    assert vmap_step.key(one) != vmap_step.key(two)
    one.eval.patience = 3
    assert vmap_step.key(one) == ()


def test_a_sibling_shares_everything_but_labels_and_rate():
    experiment = build.load(config(), batch_size=4)
    other = build.sibling(experiment, config(**MEMBERS["many"]))
    assert other.train_step is experiment.train_step and other.plan is experiment.plan
    assert other.rate(3) == pytest.approx(
        4e-3 / config().optim.learning_rate * experiment.rate(3)
    )
    assert len(other.labels().image) > len(experiment.labels().image)
