"""The operating point is what validation chose, or is refused; lost, it comes back."""

import json
import shutil

import pytest
from support import older_runs

from jaxseg.errors import DataError
from jaxseg.experiment import frozen_point
from jaxseg.run_directory import checkpoint, files, seal


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    return older_runs.unpack(tmp_path_factory.mktemp("older"))


def _operating_point(run):
    record = files.read_json(run / "run.json")
    manager = checkpoint.open_manager(run / "checkpoints", read_only=True)
    try:
        return frozen_point.read(run, manager, record)
    finally:
        checkpoint.close(manager)


@pytest.fixture
def sealed(older, tmp_path):
    """A finished run whose operating point is sealed with its checkpoint."""
    run = shutil.copytree(older / "finished", tmp_path / "run")
    point = files.read_json(run / files.OPERATING_POINT)
    manager = checkpoint.open_manager(run / "checkpoints")
    checkpoint.freeze(manager, point["step"], point)
    checkpoint.close(manager)
    return run


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("operating_point", "threshold"), 0.625),
        (("operating_point", "min_area"), 0.5),
        (("operating_point", "value"), 0.99),
        (("temperature", "value"), 2.5),
        (("step",), 4),
    ],
)
def test_an_edited_operating_point_is_refused_by_name(sealed, keys, value):
    path = sealed / files.OPERATING_POINT
    content = files.read_json(path)
    assert _operating_point(sealed) == content
    *parents, last = keys
    inside = content
    for key in parents:
        inside = inside[key]
    before, inside[last] = inside[last], value
    assert before != value
    path.write_text(json.dumps(content))
    with pytest.raises(DataError) as told:
        _operating_point(sealed)
    assert f"{'.'.join(keys)}: {json.dumps(before)} -> {value}" in str(told.value)
    assert str(path) in str(told.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"threshold": 7}, "operating_point.threshold is 7; it is from 0 to 1"),
        ({"min_area": -0.5}, "operating_point.min_area is -0.5"),
        ({"gate": 1.5}, "operating_point.gate is 1.5"),
        ({"rule": "treshold"}, "rule is 'treshold': did you mean 'threshold'"),
        ({"offsets": [0.0, 1.0, 2.0]}, "offsets holds 3 numbers; the run has 2"),
        ({"offsets": ["a"]}, r"offsets[0] holds a str, wants a float"),
        ({"threshold": "high"}, "threshold holds a str, wants a float"),
    ],
)
def test_a_typed_in_operating_point_is_refused_in_runs_of_before(
    older, tmp_path, change, words
):
    run = shutil.copytree(older / "finished", tmp_path / "run")
    path = run / files.OPERATING_POINT
    content = files.read_json(path)
    content["operating_point"] |= change
    path.write_text(json.dumps(content))
    with pytest.raises(DataError) as told:
        _operating_point(run)
    assert words in str(told.value) and str(path) in str(told.value)


def test_a_lost_operating_point_is_what_its_checkpoint_seals(sealed, caplog):
    path = sealed / files.OPERATING_POINT
    record, content = seal.close(sealed, seal.read(sealed)), path.read_bytes()
    path.unlink()
    assert _operating_point(sealed) == json.loads(content)
    assert "operating_point.json is missing: what checkpoint" in caplog.text
    assert not path.exists()  # whoever scores a run need not be able to write there
    frozen_point.mend(sealed, record)
    assert path.read_bytes() == content and "was written again" in caplog.text
    assert seal.changed(sealed, record) == []


def test_of_several_sealed_operating_points_the_digest_tells_which(sealed):
    path = sealed / files.OPERATING_POINT
    point = files.read_json(path)
    record = seal.close(sealed, seal.read(sealed))
    points = {point["step"]: point, 90: point | {"step": 90}}
    assert frozen_point._lost(path, points, record) == point
    del points[point["step"]]
    for run in (record, record | {"digests": {}}):
        points |= {91: point | {"step": 91}}
        with pytest.raises(DataError, match="which of checkpoints 90, 91 holds it"):
            frozen_point._lost(path, points, run)


def test_a_lost_operating_point_of_a_run_of_before_is_named(older, tmp_path):
    run = shutil.copytree(older / "finished", tmp_path / "run")
    (run / files.OPERATING_POINT).unlink()
    frozen_point.mend(run, seal.read(run))
    with pytest.raises(DataError, match="operating_point.json does not exist"):
        _operating_point(run)
