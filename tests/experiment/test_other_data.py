"""A run is scored on data of elsewhere; nothing is chosen there, and nothing hides."""

import shutil

import numpy as np
import pytest
from PIL import Image
from support import older_runs, runs

from jaxseg.data import content, other_split
from jaxseg.errors import ConfigError, DataError
from jaxseg.experiment import finished_run, other_data
from jaxseg.report import read
from jaxseg.report.run import other_data as page
from jaxseg.run_directory import files, seal


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    return older_runs.unpack(tmp_path_factory.mktemp("older"))


def _darker(older, folder, count=6):
    """The first images with other grey levels, and their masks."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
        for path in sorted((older / "my_images" / kind).iterdir())[:count]:
            array = np.asarray(Image.open(path))
            array = (array // 2 + 20).astype(np.uint8) if kind == "images" else array
            Image.fromarray(array).save(folder / kind / path.name)
    return folder


@pytest.fixture(scope="module")
def scored(older, tmp_path_factory):
    """(the run, its answer) of a raw folder of elsewhere."""
    folder = tmp_path_factory.mktemp("scored")
    run = shutil.copytree(older / "finished", folder / "run")
    images = _darker(older, folder / "other")
    return run, other_data.score(run, images, name="hospital_b")


def test_other_data_is_scored_at_the_frozen_point_into_a_file_of_its_own(scored):
    run, again = scored
    result = files.read_json(run / "eval/hospital_b.json")
    assert again.same == "none were" and result == files.plain(again.result)
    frozen = files.read_json(run / files.OPERATING_POINT)["operating_point"]
    point = result["operating_point"]
    assert point["threshold"] == frozen["threshold"] and not point["optimistic"]
    assert point["source_split"] == "validation"
    assert result["images"] == 6
    assert result["other_data"]["card"]["splits"]["hospital_b"]["images"] == 6
    assert result["other_data"]["splits"] == ["train", "validation", "test"]
    assert (run / "eval/hospital_b_per_image.csv").read_text().count("\n") == 7
    assert any((run / "eval/hospital_b_examples").iterdir())
    seal.check(run, seal.read(run))


def test_the_report_says_how_far_it_is_from_the_test_set(scored):
    run = read.read(scored[0])
    assert set(run["splits"]) == {"test", "validation"}  # all else is of the run alone
    first, gaps, *rest = page.blocks_of(run)
    assert "Nothing was chosen on it" in first["text"]
    assert gaps["title"] == "hospital_b minus test" and gaps["rows"]
    titles = [block.get("title", "") for block in rest]
    assert "Data card of hospital_b" in titles and "Cases of hospital_b" in titles
    assert page.lines(run, "hospital_b")[0].startswith("dice_pooled 0.")


@pytest.mark.parametrize(
    "name", ["test", "validation", "train", "cost", "a/b", "b_examples", ""]
)
def test_names_that_mean_something_else_are_refused(name):
    with pytest.raises(ConfigError, match="needs a name of its own"):
        other_data.score("nowhere", "nowhere", name=name)


@pytest.fixture
def with_its_data(older, tmp_path, monkeypatch):
    """(a run whose own data is where it says, that data)."""
    run = shutil.copytree(older / "finished", tmp_path / "run")
    own = other_data._prepared(finished_run.load(run), older / "my_images")
    runs.edit_record(run, data_directory=str(own))
    monkeypatch.setattr(content, "changed", lambda before, now: [])
    return finished_run.load(run), own


def test_images_that_the_run_was_trained_on_are_refused(with_its_data):
    run, own = with_its_data
    with pytest.raises(DataError, match="14 of 20 images.* are train images of the"):
        other_data.score(run.workdir, own, name="again")


def test_a_refusal_names_the_raw_folder_and_not_its_prepared_copy(with_its_data, older):
    run, _ = with_its_data
    folder = older / "my_images"
    with pytest.raises(DataError, match=f"^{folder}: 14 of 20 images"):
        other_data.score(run.workdir, folder, name="again")


def test_images_of_the_test_set_are_told_by_pixels_or_mask(with_its_data):
    run, own = with_its_data
    images = other_split.open_split(own, name="x", classes=run.classes, only=("test",))
    shared, _ = other_data._shared(run, images)
    assert shared == list(images.ids) and shared
    first, second = images[0], images[1]
    assert not other_data._same(first, second)
    assert other_data._same(first, first | {"image": second["image"]})
    nothing = {"mask": np.zeros_like(first["mask"])}
    assert not other_data._same(first | nothing, second | nothing)
