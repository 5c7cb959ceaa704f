"""The folder of predictions knows what in it is its own, and what is whole."""

import json

import pytest

from jaxseg import errors
from jaxseg.predict import inputs, outputs

MARKER = {"made_by": "jaxseg 0", "runs": ["/a"], "run_sha256": ["12"], "tta": ""}


@pytest.fixture
def source(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(b"pixels")
    return tmp_path / "in"


def opened(tmp_path, source, overwrite=False, **changes):
    return outputs.opened(
        tmp_path / "out", source=source, marker=MARKER | changes, overwrite=overwrite
    )


def line(path):
    return {"id": "a", "input_sha256": inputs.sha256(path), "row": {"x": 1}}


def test_an_image_is_finished_when_its_line_is_whole(tmp_path, source):
    item = inputs.Input("a", source / "a.png")
    with opened(tmp_path, source) as journal:
        assert not outputs.still_finished(journal, item)
        journal.write(line(item.path), {"masks/a.png": b"mask"})
    with opened(tmp_path, source) as journal:
        assert outputs.still_finished(journal, item)
        journal.begin("a", ["masks/a.png"])  # killed while it was written again
    path = tmp_path / "out/finished.jsonl"
    text = path.read_text()
    path.write_text(text + json.dumps({"id": "a", "begin": ["masks/a.png"]}) + '\n{"i')
    (tmp_path / "out/masks/a.png").write_bytes(b"half")
    with opened(tmp_path, source) as journal:
        assert not outputs.still_finished(journal, item)
        journal.check_free(["masks/a.png"])
        journal.write(line(item.path), {"masks/a.png": b"mask"})
    assert path.read_text() == text


def test_a_folder_of_another_version_or_place_goes_on(tmp_path, source):
    with opened(tmp_path, source):
        pass
    with opened(tmp_path, source, made_by="jaxseg 9", runs=["/moved"]):
        pass
    with pytest.raises(errors.ConfigError, match="run_sha256: .*12.* -> .*34"):
        with opened(tmp_path, source, run_sha256=["34"]):
            pass
    with opened(tmp_path, source, overwrite=True, run_sha256=["34"]):
        pass
    marker = json.loads((tmp_path / "out/predict.json").read_text())
    assert marker["run_sha256"] == ["34"]


@pytest.mark.parametrize("text", ["nothing\n", "[]\n", '{"id": "a"}\n', '{"row": 1}\n'])
def test_a_damaged_journal_is_said(tmp_path, source, text):
    with opened(tmp_path, source):
        pass
    (tmp_path / "out/finished.jsonl").write_text(text)
    with pytest.raises(errors.DataError, match="finished.jsonl is damaged"):
        with opened(tmp_path, source):
            pass


def test_a_start_that_was_killed_at_once_goes_on(tmp_path, source):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/run.lock").touch()
    (tmp_path / "out/predict.json.1.tmp").touch()
    with opened(tmp_path, source):
        pass
    (tmp_path / "out/predict.json").unlink()
    (tmp_path / "out/a").touch()
    with pytest.raises(errors.ConfigError, match="holds files that are no predictions"):
        with opened(tmp_path, source):
            pass
