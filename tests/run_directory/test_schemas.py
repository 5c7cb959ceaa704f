"""The JSON files of a run have the shapes that are written down; others are refused."""

import copy

import pytest
from support import fake_run

from jaxseg.errors import DataError
from jaxseg.run_directory import files, schemas


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return fake_run.make(tmp_path_factory.mktemp("schemas") / "run")


def test_what_is_written_is_read_back(run, tmp_path):
    record = files.read(run / files.RUN, schemas.Record)
    files.write(tmp_path / files.RUN, record, schemas.Record)
    assert files.read(tmp_path / files.RUN, schemas.Record) == record


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda r: r.pop("status"), "has no 'status'"),
        (lambda r: r.update(status="done"), r"status is 'done'; .*'running', 'finish"),
        (lambda r: r.update(epochs="24"), "epochs holds a str, wants a int"),
        (lambda r: r.update(resumed=True), "resumed holds a bool, wants a int"),
        (lambda r: r["dataset"].pop("classes"), "dataset has no 'classes'"),
        (lambda r: r["best"].update(value="high"), "best.value holds a str"),
        (
            lambda r: r["dataset"]["splits"]["train"].update(pixels=[1, None]),
            r"splits.train.pixels\[1\] holds a NoneType",
        ),
    ],
)
def test_another_shape_is_refused_by_name_reading_and_writing(
    run, tmp_path, change, message
):
    record = copy.deepcopy(files.read(run / files.RUN, schemas.Record))
    change(record)
    with pytest.raises(DataError, match=message):
        files.write(tmp_path / files.RUN, record, schemas.Record)
    assert not (tmp_path / files.RUN).exists()
    files.write_json(tmp_path / files.RUN, record)
    with pytest.raises(DataError, match=message):
        files.read(tmp_path / files.RUN, schemas.Record)


def test_results_have_their_shape_and_undefined_numbers_are_none(run):
    result = files.read(run / "eval/test.json", schemas.Result)
    result["metrics"][0]["value"] = None
    schemas.check(result, schemas.Result, "test.json")
    del result["metrics"][0]["low"]
    with pytest.raises(DataError, match=r"metrics\[0\] has no 'low'"):
        schemas.check(result, schemas.Result, "test.json")
