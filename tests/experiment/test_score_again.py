"""Scores that are there are never lost: what differs is written beside, and said."""

import errno
import json
import os
import shutil

import pytest
from support import older_runs

from jaxseg.errors import DataError
from jaxseg.experiment import score_again
from jaxseg.run_directory import files, seal

ROW = {"name": "dice_pooled", "class": "crack", "value": 0.75}
SCORES = {"images": 2, "metrics": [ROW], "baselines": [1], "calibration": None}
TABLE = "id,dice\na,0.5\nb,1.0\n"


def _write(folder, scores=SCORES, table=TABLE):
    (folder / "test_examples").mkdir(parents=True)
    files.write_json(folder / "test.json", scores)
    (folder / "test_per_image.csv").write_text(table)
    (folder / "test_examples" / "000000_mask.png").write_bytes(b"png")


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    return older_runs.unpack(tmp_path_factory.mktemp("older"))


@pytest.fixture
def run(older, tmp_path):
    """A run with scores, and a folder with the very same scores of now."""
    _write(tmp_path / "run/eval")
    shutil.copy(older / "finished/run.json", tmp_path / "run")
    seal.close(tmp_path / "run", seal.read(tmp_path / "run"))
    _write(tmp_path / "fresh")
    return tmp_path / "run"


def _keep(run, *, writable=True):
    fresh = run.parent / "fresh"
    return score_again.keep(run, "test", SCORES, fresh, writable=writable)


def test_equal_scores_are_said_to_be(run):
    again = _keep(run)
    assert (again.same, again.notes, again.folder) == ("yes", [], run / "eval")
    seal.check(run, seal.read(run))
    assert not (run / "eval_again").exists()


def test_no_scores_are_written_where_they_belong(run):
    shutil.rmtree(run / "eval")
    assert _keep(run).same == "none were"
    assert files.read_json(run / "eval/test.json") == SCORES
    assert (run / "eval/test_examples/000000_mask.png").is_file()


@pytest.mark.parametrize(
    "scores",
    [
        {"images": 2, "metrics": [ROW]},
        SCORES | {"baselines": []},
        SCORES | {"metrics": [{"name": "dice_pooled", "value": 0.75}]},
    ],
)
def test_what_an_earlier_version_scored_is_completed(run, scores):
    files.write_json(run / "eval/test.json", scores)
    with pytest.raises(DataError, match="test.json is not what the run wrote"):
        seal.check(run, seal.read(run))
    assert _keep(run).same == "yes"
    seal.check(run, seal.read(run))
    assert files.read_json(run / "eval/test.json") == SCORES


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "test.json",
            json.dumps(SCORES | {"metrics": [ROW | {"value": 0.7}]}),
            "metrics[dice_pooled, crack].value is 0.7 there, 0.75 now",
        ),
        ("test.json", "[]", "is [] there"),
        ("test.json", json.dumps(SCORES | {"more": 1}), "more is there no more"),
        ("test.json", json.dumps(SCORES | {"metrics": []}), "has 0 entries there, 1"),
        ("test_per_image.csv", TABLE.replace("0.5", "0.6"), "row 1: dice is '0.6'"),
        ("test_per_image.csv", TABLE + "c,0\n", "has 3 rows, 2 now"),
    ],
)
def test_scores_that_differ_stay_and_the_new_ones_lie_beside(run, name, content, words):
    (run / "eval" / name).write_text(content)
    again = _keep(run)
    assert again.same == "no" and words in again.notes[0]
    assert (run / "eval" / name).read_text() == content
    assert again.folder == run / "eval_again"
    assert files.read_json(again.folder / "test.json") == SCORES
    assert "stays as it was" in again.notes[-1]


def test_a_changed_score_is_refused_with_a_way_out_and_without_a_circle(run):
    path = run / "eval/test.json"
    wrote = path.read_bytes()
    score_again.check_kept(run, "test")
    files.write_json(path, SCORES | {"images": 3})
    with pytest.raises(DataError, match="put it back as it was, or move .*/eval/test"):
        score_again.check_kept(run, "test")
    score_again.check_kept(run, "validation")  # the report asks for that
    again = _keep(run)
    assert again.same == "no" and "images is 3 there, 2 now" in again.notes[0]
    beside = run / "eval_again/test.json"
    with pytest.raises(DataError, match=rf"report was built: {beside} is what it wro"):
        score_again.check_kept(run, "test")
    path.unlink()  # the other way out
    assert _keep(run).folder == run / "eval" and path.read_bytes() == wrote
    score_again.check_kept(run, "test")


@pytest.mark.parametrize(
    ("name", "content", "same"),
    [
        ("json", json.dumps(SCORES | {"metrics": [ROW | {"value": 0.7500001}]}), True),
        ("json", json.dumps(SCORES | {"metrics": [ROW | {"value": 0.751}]}), False),
        ("json", json.dumps(SCORES | {"metrics": [ROW | {"value": 1}]}), False),
        ("json", json.dumps(SCORES | {"images": 200001}), False),
        ("per_image.csv", TABLE.replace("0.5", "0.5000001"), True),
        ("per_image.csv", TABLE.replace("0.5", "0.501"), False),
        ("per_image.csv", TABLE.replace("0.5", ""), False),
    ],
)
def test_scores_may_differ_in_their_last_digits_alone(run, name, content, same):
    path = run / "eval" / (f"test.{name}" if name == "json" else f"test_{name}")
    path.write_text(content)
    again = _keep(run)
    assert again.same == (score_again.ROUNDED if same else "no")
    assert path.read_text() == content and again.folder == run / "eval_again"
    assert "stays as it was" in again.notes[-1]


def test_scores_that_cannot_be_read_are_kept_beside_the_new_ones(run):
    (run / "eval/test.json").write_text('{"images": 2')
    again = _keep(run)
    assert again.same == "they could not be read"
    assert "test.json is not readable as JSON" in again.notes[0]
    assert (run / "eval/test.json.unreadable").read_text() == '{"images": 2'
    assert files.read_json(run / "eval/test.json") == SCORES


def test_a_run_that_cannot_be_written_is_compared_all_the_same(run):
    files.write_json(run / "eval/test.json", SCORES | {"images": 3})
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    again = _keep(run, writable=False)
    assert again.same == "no" and again.folder is None
    assert "images is 3 there, 2 now" in again.notes[0]
    assert "cannot be written" in again.notes[-1]
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*")}


def test_a_read_only_run_is_scored_and_nothing_is_left(older, monkeypatch):
    def refuse(workdir):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(files, "lock", refuse)
    run = older / "finished"
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    images = str(older / "my_images")
    again = score_again.score_again(run, "test", data_dir=images)
    assert again.folder is None and "cannot be written" in again.notes[-1]
    assert again.result["images"] > 0
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*")}
