"""A run stopped anywhere and started again equals one that was never stopped."""

import json
import shutil

import jax
import pytest
from support import runs, tiny
from tensorboard.backend.event_processing import event_file_loader

from jaxseg import errors
from jaxseg.config.profiled_steps import Steps
from jaxseg.experiment import score_again
from jaxseg.report import read
from jaxseg.run_directory import checkpoint, mirror
from jaxseg.train import loop, mirrored, stop


@pytest.fixture(scope="module")
def config():
    changes = {"epochs": 3, "optim.ema": 0.9}
    changes["sampler.balanced.negative_keep"] = 0.2
    return runs.config("pneumothorax", **runs.SMALL, **changes)


POINTS: list[tuple[int, int]] = []  # (step of a checkpoint, newest step on disk then)


@pytest.fixture(scope="module")
def straight(config, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("straight") / "run"
    save = checkpoint.save

    def noted(manager, state, *, step, **kwargs):
        POINTS.append((step, _newest_point(workdir)))
        save(manager, state, step=step, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save", noted)
        loop.train_and_evaluate(config, workdir)
    return workdir


def _newest_point(workdir) -> int:
    """The step of the newest loss in TensorBoard's files, as they are on disk."""
    path = max((workdir / "tb").glob("events.out.*"))
    events = event_file_loader.EventFileLoader(str(path)).Load()
    return max(e.step for e in events if any(v.tag == "loss" for v in e.summary.value))


def test_tensorboard_has_every_point_before_its_checkpoint_begins(straight):
    steps = [int(row["step"]) for row in runs.history(straight)]
    assert POINTS == [(step, step) for step in steps] and len(steps) == 3


def test_a_run_leaves_what_the_readme_says(straight):
    names = {str(p.relative_to(straight)) for p in straight.rglob("*")}
    wanted = {"config.json", "run.json", "history.csv", "checkpoints", "tb"}
    wanted |= {"checkpoints/operating_point.json"}
    for split in ("validation", "test"):
        wanted |= {f"eval/{split}.json", f"eval/{split}_per_image.csv"}
        wanted |= {f"eval/{split}_pr.csv", f"eval/{split}_examples.json"}
    assert wanted <= names
    record = json.loads((straight / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["images_seen"] == record["total_steps"] * record["batch_size"]
    assert record["best"]["metric"] == "validation/dice_pooled"


def test_the_realised_share_is_the_target(straight):
    for row in runs.history(straight):
        size = int(row["images_seen"]) // int(row["epoch"])
        off = float(row["share_realised"]) - float(row["share_target"])
        assert abs(off) <= 1 / size


@pytest.mark.parametrize("at", [2, 5])
def test_stopping_and_going_on_changes_no_bit(
    at, config, straight, tmp_path, monkeypatch
):
    total = json.loads((straight / "run.json").read_text())["total_steps"]
    assert total > 5, "the run is too short to be stopped in all these places"
    with monkeypatch.context() as patch:
        patch.setattr(stop.Stop, "by", lambda self, manager, step: step == at)
        with pytest.raises(errors.Preempted, match=f"saving step {at} of {total}"):
            loop.train_and_evaluate(config, tmp_path / "run")
    changed = config.copy_and_resolve_references()
    changed.data.workers = 0 if at == 2 else 1  # workers are free to change
    profiled = Steps(at + 1, at + 1) if at == 2 else None  # a trace changes no bit
    record = loop.train_and_evaluate(changed, tmp_path / "run", profiled=profiled)
    assert (tmp_path / "run" / "profile").exists() == (at == 2)
    assert record["resumed"] == 1
    _check_equal(tmp_path / "run", straight, config)


def _check_equal(workdir, straight, config):
    assert runs.history(workdir) == runs.history(straight)
    assert runs.scores(workdir) == runs.scores(straight)
    assert runs.point(workdir) == runs.point(straight)
    assert tiny.leaves_equal(
        runs.last_state(workdir, config), runs.last_state(straight, config)
    )


def test_a_run_goes_on_from_a_bucket_after_its_machine_is_gone(
    config, straight, tmp_path, monkeypatch
):
    """The run ends without a word after step 3; only what was sent by then is left."""
    url, machine = f"file://{tmp_path}/bucket/run", tmp_path / "machine"
    monkeypatch.setattr(mirror, "local_copy", lambda url: machine / "run")
    with monkeypatch.context() as patch:
        patch.setattr(stop.Stop, "by", _gone_after_3)
        with pytest.raises(EOFError), mirrored.opened(url) as sending:
            loop.train_and_evaluate(config, machine / "run", mirror=sending)
    shutil.rmtree(machine)
    with mirrored.opened(url) as sending:
        assert (machine / "run" / "checkpoints" / "3").is_dir()
        loop.train_and_evaluate(config, machine / "run", mirror=sending)
    shutil.rmtree(machine)
    with mirrored.opened(url):  # on a third machine, the finished run
        _check_equal(machine / "run", straight, config)


def _gone_after_3(self, manager, step):
    if step == 3:
        manager.orbax.wait_until_finished()
    elif step > 3:  # what step 3 found durable has been given to the thread
        raise EOFError("the machine is gone")
    return False


def test_a_kill_while_scoring_only_repeats_the_scores(
    config, straight, tmp_path, monkeypatch
):
    shutil.copytree(straight, tmp_path / "run")
    runs.edit_record(tmp_path / "run", status="running", finished=None)
    shutil.rmtree(tmp_path / "run" / "eval")
    loop.train_and_evaluate(config, tmp_path / "run")
    assert runs.scores(tmp_path / "run") == runs.scores(straight)


def test_a_finished_run_is_not_trained_again(config, straight, monkeypatch):
    monkeypatch.setattr(loop, "_fit", None)
    assert loop.train_and_evaluate(config, straight)["status"] == "finished"


def test_another_config_is_refused_with_the_difference(config, straight):
    changed = config.copy_and_resolve_references()
    changed.optim.weight_decay = 0.5
    with pytest.raises(errors.ConfigError, match=r"optim.weight_decay: .* -> 0\.5"):
        loop.train_and_evaluate(changed, straight)


def test_scoring_again_gives_the_same_bytes_on_any_number_of_devices(
    straight, monkeypatch
):
    before = runs.scores(straight)
    assert jax.device_count() == 4
    again = score_again.score_again(straight, "test")
    assert again.same == "yes" and not again.notes
    assert runs.scores(straight) == before


def test_other_data_than_the_run_began_with_is_refused(config, straight, tmp_path):
    shutil.copytree(straight, tmp_path / "run")
    data = json.loads((straight / "run.json").read_text())["dataset"]
    data["split_hash"]["test"] = "0" * 64
    runs.edit_record(tmp_path / "run", status="running", dataset=data)
    with pytest.raises(errors.DataError, match="splits of test .* another workdir"):
        loop.train_and_evaluate(config, tmp_path / "run")


def test_steps_that_are_not_finite_stop_the_run_with_the_ids(config, tmp_path):
    poisoned = config.copy_and_resolve_references()
    poisoned.loss.dice_batch.weight = 1e38  # the gradient overflows
    poisoned.optim.bad_steps = 5  # more than the steps of an epoch
    with pytest.raises(errors.NotFinite, match=r"5 steps in a row .* \[1\.2\.826\."):
        loop.train_and_evaluate(poisoned, tmp_path / "run")


def test_a_changed_history_of_a_finished_run_is_written_again(
    config, straight, tmp_path, caplog
):
    shutil.copytree(straight, tmp_path / "run")
    path = tmp_path / "run" / "history.csv"
    before = path.read_text()
    path.write_text("".join(before.splitlines(keepends=True)[:-1]))
    loop.train_and_evaluate(config, tmp_path / "run")
    assert path.read_text() == before
    assert "is missing. It was written again" in caplog.text


def test_lost_files_of_a_finished_run_are_written_again(
    config, straight, tmp_path, caplog
):
    run = shutil.copytree(straight, tmp_path / "run")
    paths = [run / "history.csv", run / "checkpoints/operating_point.json"]
    before = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    with pytest.raises(errors.DataError, match="start the run's own command again"):
        read.read(run)
    loop.train_and_evaluate(config, run)
    assert [path.read_bytes() for path in paths] == before
    assert "the whole file is missing. It was written again" in caplog.text
    assert "operating_point.json was missing. It was written again" in caplog.text
    read.read(run)
    paths[0].unlink()
    for path in run.glob("checkpoints/*/manifest.json"):
        path.unlink()
    with pytest.raises(errors.DataError, match="no checkpoint notes what it held"):
        loop.train_and_evaluate(config, run)


def test_a_lost_row_is_written_again_when_a_run_goes_on(
    config, straight, tmp_path, monkeypatch, caplog
):
    with monkeypatch.context() as patch:
        patch.setattr(stop.Stop, "by", lambda self, manager, step: step == 5)
        with pytest.raises(errors.Preempted):
            loop.train_and_evaluate(config, tmp_path / "run")
    path = tmp_path / "run" / "history.csv"
    header, first, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join([header, *rest]))
    loop.train_and_evaluate(config, tmp_path / "run")
    assert "is missing" in caplog.text
    assert runs.history(tmp_path / "run") == runs.history(straight)
