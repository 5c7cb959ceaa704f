"""A digit of a finished run that changes afterwards is found, in whatever file."""

import json
import shutil

import pytest
from support import older_runs

from jaxseg.errors import DataError
from jaxseg.run_directory import files, seal


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    return older_runs.unpack(tmp_path_factory.mktemp("older"))


@pytest.fixture
def run(older, tmp_path):
    """A finished run that is sealed."""
    run = shutil.copytree(older / "finished", tmp_path / "run")
    seal.close(run, seal.read(run))
    return run


def _flip(path):
    """Changes one digit of a file, which stays readable as what it is."""
    content = bytearray(path.read_bytes())
    at = max(i for i, byte in enumerate(content) if chr(byte) in "12345678")
    content[at] += 1
    path.write_bytes(content)


def test_a_sealed_run_is_as_it_was_written(run):
    seal.check(run, seal.read(run))
    assert seal.changed(run, seal.read(run)) == []


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("history.csv", "start the run's own command again"),
        ("config.json", "put the file back"),
        ("checkpoints/operating_point.json", "put the file back"),
        ("eval/test.json", "jaxseg.evaluate --run=.* --split=test says what differs"),
        ("eval/test_per_image.csv", "evaluate --run=.* --split=test says what differs"),
        ("eval/validation_examples.json", "--split=validation says what differs"),
    ],
)
def test_a_changed_digit_is_found_and_named(run, name, advice):
    _flip(run / name)
    with pytest.raises(DataError, match=advice) as told:
        seal.check(run, seal.read(run))
    assert f"{run / name} is not what the run wrote" in str(told.value)
    if name != "config.json":
        seal.check(run, seal.read(run), names=["config.json"])


def test_a_changed_record_is_found_and_named(run):
    for key, value in (("total_steps", 9), ("name", "other"), ("digests", {})):
        record = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps(record | {key: value}))
        with pytest.raises(DataError, match="run.json is not as the run wrote it"):
            seal.read(run)
        (run / "run.json").write_text(json.dumps(record, indent=3))  # it says the same
        seal.check(run, seal.read(run))


def test_files_that_were_written_since_are_noted(run):
    before = seal.read(run)
    _flip(run / "eval/test.json")
    _flip(run / "history.csv")
    seal.renew(run, [run / "eval/test.json"])
    assert seal.changed(run, seal.read(run)) == ["history.csv"]
    _flip(run / "config.json")
    assert seal.changed(run, before | {"status": "running"}) == []


def test_runs_of_before_are_read_without_digests(older):
    record = files.read_json(older / "finished/run.json")
    assert "digests" not in record
    seal.check(older / "finished", seal.read(older / "finished"))
    seal.renew(older / "finished", [older / "finished/eval/test.json"])
    assert files.read_json(older / "finished/run.json") == record
