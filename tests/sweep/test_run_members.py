"""A sweep outlives its members: who failed is said, and the same call goes on."""

import json
import os
import pathlib
import types

import pytest
from support import runs

from jaxseg import errors
from jaxseg.experiment import training_plan
from jaxseg.sweep import run_members, vmap_loop
from jaxseg.train import loop, open_run

FAST = {"eval.surface": False, "optim.bad_steps": 1}


def config(**changes):
    out = runs.config("clicks", **FAST, **changes)
    out.model.unet.widths = (4, 6)
    return out


def members():
    """Two that train, and between them one whose gradients are not finite."""
    loss = "loss.partial_cross_entropy.weight"
    changes = {"few": {"seed": 0}, "bad": {loss: 1e38}, "other": {"seed": 1}}
    return {name: config(**own) for name, own in changes.items()}


def files(folder: pathlib.Path) -> dict:
    """{file: (when it was written, its bytes)} but for the lock."""
    found = [p for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"]
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in found}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """(workdir, what failed): the three began together, and went on one by one."""
    root = tmp_path_factory.mktemp("sweep") / "runs"
    return root, run_members.here(members(), root, at_most=9)


def test_a_member_that_diverges_is_reported_and_the_others_finish(swept):
    root, failed = swept
    assert list(failed) == ["bad"] and "not finite" in failed["bad"]
    for name in ("few", "other"):
        record = json.loads((root / name / "run.json").read_text())
        assert record["status"] == "finished"
        assert (root / name / "report.html").exists()
    assert json.loads((root / "bad/run.json").read_text())["status"] == "running"


def test_the_same_call_trains_only_what_is_missing(swept, monkeypatch):
    root, failed = swept
    before = {name: files(root / name) for name in ("few", "other")}
    asked = []
    real = loop.train_and_evaluate

    def spy(config, workdir):
        asked.append(workdir.name)
        return real(config, workdir)

    monkeypatch.setattr(loop, "train_and_evaluate", spy)
    monkeypatch.setattr(vmap_loop, "train_and_evaluate", asked.append)
    assert run_members.here(members(), root, at_most=9) == failed
    assert asked == ["bad"]  # alone at once: there is nobody left to train with
    assert {name: files(root / name) for name in before} == before
    (root / "few" / "report.html").unlink()
    run_members.here({"few": config(seed=0)}, root, at_most=9)
    assert (root / "few" / "report.html").exists() and asked == ["bad"]


def test_the_end_says_who_failed_and_compares_the_others(swept):
    root, failed = swept
    code, lines = run_members.conclude(list(members()), root, failed)
    assert code == 1
    assert lines[0] == f"2 of 3 members finished in {root}"
    assert lines[1] == f"FAILED     bad: {failed['bad']}"
    record = json.loads((root / "sweep.json").read_text())
    assert record == {"members": ["few", "bad", "other"], "failed": failed}
    assert f"html       {root}/report/report.html" in lines
    page = (root / "report" / "report.html").read_text()
    assert "few" in page and "other" in page
    assert run_members.conclude(["few", "other"], root, {})[0] == 0  # and again


def test_without_two_members_there_is_no_report(tmp_path):
    left = tmp_path / f"sweep.json.{os.getpid()}.tmp"  # by a process that was killed
    left.write_text("half")
    code, lines = run_members.conclude(["a", "b"], tmp_path, {"b": "why"})
    assert not left.exists()
    assert code == 1 and len(lines) == 2 and not (tmp_path / "report").exists()
    code, lines = run_members.conclude(["a", "b"], tmp_path, {})
    assert code == errors.DataError.exit_code and "no report: " in lines[-1]


@pytest.fixture
def faked(monkeypatch):
    """What was trained, while training does nothing; `faked.of[name]` is raised."""

    class Asked(list):
        of: dict = {}

    asked = Asked()

    def alone(config, workdir):
        asked.append(workdir.name)
        if error := asked.of.get(workdir.name):
            raise error

    def many(runs):
        asked.append([workdir.name for _, workdir in runs])
        if error := asked.of.get("together"):
            raise error

    monkeypatch.setattr(loop, "train_and_evaluate", alone)
    monkeypatch.setattr(vmap_loop, "train_and_evaluate", many)
    monkeypatch.setattr(run_members.run_build, "build", lambda place: None)
    return asked


def test_one_by_one_every_kind_of_failure_is_survived(faked, tmp_path):
    faked.of = {"a": errors.DataError("two\n  lines"), "c": KeyError("odd")}
    group = {name: config(seed=i) for i, name in enumerate("abcd")}
    failed = run_members.here(group, tmp_path, at_most=1)
    assert faked == ["a", "b", "c", "d"]
    assert failed == {"a": "two lines", "c": "KeyError: 'odd'"}


def test_when_a_group_fails_each_has_its_own_try(faked, tmp_path):
    faked.of = {"together": RuntimeError("out of memory"), "b": ValueError("no")}
    group = {name: config(seed=i) for i, name in enumerate("abc")}
    assert run_members.here(group, tmp_path, at_most=2) == {"b": "ValueError: no"}
    assert faked == [["a", "b"], "a", "b", "c"]


@pytest.mark.parametrize("who", ["together", "b"])
def test_being_asked_to_stop_stops_everything(faked, tmp_path, who):
    faked.of = {who: errors.Preempted("stopped")}
    group = {name: config(seed=i) for i, name in enumerate("abc")}
    with pytest.raises(errors.Preempted) as caught:
        run_members.here(group, tmp_path, at_most=9)
    assert caught.value.exit_code == 75 and "c" not in faked


def test_a_foreign_run_in_the_place_of_a_member_is_a_failure_of_that_member(
    faked, tmp_path
):
    group = {name: config(seed=i) for i, name in enumerate("abc")}
    run_members.here({"b": config(seed=1, **{"optim.ema": 0.5})}, tmp_path, at_most=1)
    (tmp_path / "b" / "history.csv").write_text("step\n")
    before = files(tmp_path / "b")
    failed = run_members.here(group, tmp_path, at_most=9)
    assert "started with another config: optim.ema: 0.5 -> 0.0" in failed["b"]
    assert list(failed) == ["b"] and files(tmp_path / "b") == before
    assert faked == ["b", ["a", "c"], "a", "c"]  # the others still train together


@pytest.mark.parametrize(
    "steps,why",
    [
        ([{4, 6}, {4, 8, 10}], "more than an epoch would be lost"),
        ([{8, 10}, {4, 6}], "and in whatever order"),
        ([{2, 4}, set()], "as where one has nothing yet"),
        ([{8}, {9, 10}], "the first step is not there any more"),
        ([{7}, {7}], "a step within an epoch has sums of its own"),
    ],
)
def test_runs_that_lie_apart_keep_what_they_have(monkeypatch, steps, why):
    plan = training_plan.Plan(
        batch_size=1,
        epoch_size=2,
        steps_per_epoch=2,
        total_steps=20,
        order=None,
        shares=(),
        epochs=10,
    )
    experiment = types.SimpleNamespace(plan=plan)
    orbax = [types.SimpleNamespace(all_steps=lambda s=s: sorted(s)) for s in steps]
    managers = [types.SimpleNamespace(orbax=o) for o in orbax]
    monkeypatch.setattr(
        vmap_loop.checkpoint,
        "latest_step",
        lambda m: max(m.orbax.all_steps(), default=None),
    )
    group = [
        open_run.Run(None, None, experiment, manager, None, {}) for manager in managers
    ]
    with pytest.raises(errors.ConfigError, match="from there each goes on alone"):
        vmap_loop._start(group)  # without any delete(), which these have not


def test_a_run_is_no_place_for_members(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(errors.ConfigError, match="is itself a run: give members"):
        run_members.here({"a": config()}, tmp_path, at_most=1)
    with pytest.raises(errors.ConfigError, match="is itself a run: give members"):
        run_members.in_processes({"a": ["python"]}, tmp_path, at_a_time=2)


def test_who_trains_with_whom():
    group = {f"s{i}": config(seed=i, **{"supervision.positive": i}) for i in range(5)}
    group |= {f"m{i}": config(seed=i, **{"supervision.name": "full"}) for i in range(2)}
    group["slow"] = config(**{"eval.patience": 3})
    group["late"] = config(seed=9)
    assert run_members.chunks(group, 4) == [
        ["s0", "s1", "s2", "s3"],
        ["s4", "late"],
        ["m0", "m1"],
        ["slow"],
    ]
    for alone in (1, 0, -1):
        assert run_members.chunks(group, alone) == [
            [n] for part in run_members.chunks(group, 99) for n in part
        ]
