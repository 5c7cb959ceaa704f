"""A bucket gets each durable checkpoint, and its faults end no training."""

import json
import logging as standard_logging
import types

import jax
import numpy as np
import pytest

from jaxseg.devices import sharding
from jaxseg.errors import ConfigError, NotWritten, Preempted
from jaxseg.run_directory import bucket, manifest, mirror
from jaxseg.train import mirrored


class Checkpoints:
    """Stands for the manager of orbax, with one step and whether it is durable."""

    def __init__(self):
        self.orbax, self.steps, self.saving = self, [], False

    def is_saving_in_progress(self) -> bool:
        return self.saving

    def all_steps(self) -> list[int]:
        return self.steps


@pytest.fixture
def url(tmp_path, monkeypatch):
    monkeypatch.setattr(mirror, "local_copy", lambda url: tmp_path / "machine" / "run")
    return f"file://{tmp_path}/bucket/run"


def _save(url, checkpoints, step):
    folder = mirror.local_copy(url)
    saved = folder / "checkpoints" / str(step)
    saved.mkdir(parents=True)
    manifest.seal(saved, {"step": step})
    (folder / "config.json").write_text("{}")
    checkpoints.steps.append(step)


def _steps(url) -> set[str]:
    """The steps that the newest marker lists."""
    objects = bucket.open_bucket(url)
    names = [n for n in bucket.names(objects, "markers") if n.endswith(".json")]
    if not names:
        return set()
    listed = json.loads(json.loads(bucket.read(objects, names[-1]))["marker"])["files"]
    return {path.split("/")[1] for path in listed if path.startswith("checkpoints")}


def _wait(sending):
    """Lets the thread end, as time does between two steps."""
    sending._sending.result()


def test_a_checkpoint_is_sent_once_it_is_durable(url):
    checkpoints = Checkpoints()
    with mirrored.opened(url) as sending:
        sending.offer(checkpoints)
        _save(url, checkpoints, 1)
        checkpoints.saving = True
        sending.offer(checkpoints)
        assert sending._sending is None and not _steps(url)
        checkpoints.saving = False
        sending.offer(checkpoints)
        _wait(sending)
        assert _steps(url) == {"1"}
        _save(url, checkpoints, 2)
    assert _steps(url) == {"1", "2"}  # the end sends the rest


def test_the_checkpoint_before_is_sent_while_one_is_being_saved(url):
    """Steps may be saved so often that a save is always under way."""
    checkpoints = Checkpoints()
    checkpoints.saving = True
    with mirrored.opened(url) as sending:
        for step in (1, 2):
            _save(url, checkpoints, step)
            sending.offer(checkpoints)
        _wait(sending)
        assert _steps(url) == {"1"}


def test_a_run_that_was_asked_to_stop_sends_what_it_saved_and_a_crash_nothing(url):
    checkpoints = Checkpoints()
    with pytest.raises(KeyError), mirrored.opened(url):
        _save(url, checkpoints, 1)
        raise KeyError
    assert not _steps(url)
    with pytest.raises(Preempted), mirrored.opened(url):
        raise Preempted("stopped")
    assert _steps(url) == {"1"}


def test_a_bucket_that_fails_is_said_and_tried_again(url, monkeypatch, caplog):
    caplog.set_level(standard_logging.WARNING, logger="absl")
    checkpoints, clock = Checkpoints(), types.SimpleNamespace(now=0.0)
    monkeypatch.setattr(mirrored.time, "monotonic", lambda: clock.now)
    with mirrored.opened(url) as sending:
        _save(url, checkpoints, 1)
        with monkeypatch.context() as patch:
            patch.setattr(bucket, "send", _refuse)
            sending.offer(checkpoints)
            with pytest.raises(bucket.Fault):
                _wait(sending)
            sending.offer(checkpoints)
            assert "quota. The run goes on in" in caplog.text
            assert sending._sending is None  # not at every step
        clock.now = 61.0
        sending.offer(checkpoints)
        _wait(sending)
        assert _steps(url) == {"1"}


def _refuse(*arguments):
    raise bucket.Fault("the bucket is over its quota")


def test_a_bucket_that_fails_at_the_end_is_an_error_that_names_the_folder(
    url, monkeypatch
):
    checkpoints = Checkpoints()
    monkeypatch.setattr(bucket, "send", _refuse)
    with pytest.raises(NotWritten, match="quota. The run is whole in .*/machine/run"):
        with mirrored.opened(url):
            _save(url, checkpoints, 1)


def test_a_second_run_on_this_machine_is_refused(url):
    with mirrored.opened(url):
        with pytest.raises(ConfigError, match="in use by another run"):
            with mirrored.opened(url):
                raise AssertionError("both have the folder")
    assert not bucket.names(bucket.open_bucket(url), "markers")  # of an empty run


def test_processes_that_share_no_folder_are_told_and_others_send_nothing(
    url, monkeypatch
):
    """Seen from process 1 of two; process 0 wrote 7 into the folder."""
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    monkeypatch.setattr(sharding, "any_process", lambda flag: flag)
    monkeypatch.setattr(sharding, "gather", lambda own: [{"number": np.array([7])}])
    with pytest.raises(ConfigError, match="does not see it.* set JAXSEG_CACHE"):
        with mirrored.opened(url):
            raise AssertionError("the folders differ")
    path = mirror.beside(mirror.local_copy(url)) / "seen_by_all"
    path.parent.mkdir(parents=True)
    path.write_text("7")
    with mirrored.opened(url) as sending:
        sending.offer(None)
    assert not _steps(url)
