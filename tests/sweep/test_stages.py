"""Two stages as one run: trained, joined, reported, and used on images."""

import csv
import json
import pathlib
import shutil
import sys

import cv2
import numpy as np
import pytest
from support import runs

from jaxseg import errors
from jaxseg.config import check, stored
from jaxseg.data import prepared
from jaxseg.experiment import build, finished_run, two_stage
from jaxseg.predict import folder
from jaxseg.run_directory import files, older_configs, two_stage_schemas
from jaxseg.sweep import members, stages
from jaxseg.train import child, loop, open_run

RECIPE = runs.ROOT / "configs" / "covid.py"


def config(**changes):
    whole = runs.config("covid", "hybrid_smoke", **changes)
    return older_configs.add_missing(whole)


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    """The workdir of a joined run. Do not change it."""
    workdir = tmp_path_factory.mktemp("joined") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["main.py", f"--config={RECIPE}:hybrid_smoke"])
        assert stages.main(config(), workdir) == 0
    return workdir


def rows(path: pathlib.Path) -> dict[str, dict[str, str]]:
    with open(path, newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def test_a_joined_run_is_a_run_directory_around_two(joined):
    for stage in two_stage_schemas.STAGES:
        assert json.loads((joined / stage / "run.json").read_text())["status"]
    frozen = json.loads((joined / files.TWO_STAGE).read_text())
    assert frozen["image_class"] == "covid19" and frozen["pixel_class"] == "infection"
    assert frozen["source_split"] == "validation"
    result = json.loads((joined / "eval" / "test.json").read_text())
    assert result["two_stage"]["threshold"] == frozen["threshold"]
    classified = json.loads((joined / "classify" / "eval" / "test.json").read_text())
    assert result["image_classes"] == classified["image_classes"]
    assert (joined / "report.html").is_file()


def test_an_image_passes_as_the_first_stage_says(joined):
    result = json.loads((joined / "eval" / "test.json").read_text())
    block = result["two_stage"]
    alone = rows(joined / "segment" / "eval" / "test_per_image.csv")
    both = rows(joined / "eval" / "test_per_image.csv")
    emptied = [n for n in both if both[n]["predicted_pixels"] == "0"]
    for name in both.keys() - set(emptied):
        assert both[name]["predicted_pixels"] == alone[name]["predicted_pixels"]
    flow = [block["flow"][key] for key in ("of_the_class", "others", "unknown")]
    assert sum(map(sum, flow)) == len(both) == result["images"]
    way = next(w for w in block["ways"] if w["way"] == "end_to_end")
    assert way["segmented"] >= len(both) - len(emptied)
    assert way["segmented"] == sum(passed for passed, _ in flow)


def test_the_same_command_again_is_finished_and_another_config_is_refused(
    joined, monkeypatch
):
    monkeypatch.setattr(sys, "argv", ["main.py", f"--config={RECIPE}:hybrid_smoke"])
    before = (joined / "run.json").read_bytes()
    assert stages.main(config(), joined) == 0
    assert (joined / "run.json").read_bytes() == before
    with pytest.raises(errors.ConfigError, match="another config: seed") as refused:
        stages.main(config(seed=7), joined)
    segment = joined / "segment"
    words = f"--config={segment}/config.json --config.parent={segment} --workdir="
    assert "choose another workdir" in str(refused.value)
    assert words in str(refused.value)


def test_a_stage_begins_a_run_of_its_own_and_does_not_go_on_by_itself(joined, tmp_path):
    segment = joined / "segment"
    before = (segment / "run.json").read_bytes()
    longer = stored.load(segment / "config.json")  # as --config=.../config.json
    longer.epochs += 1
    with pytest.raises(errors.ConfigError, match="is a stage of .* --config.parent="):
        loop.train_and_evaluate(longer, segment)
    assert (segment / "run.json").read_bytes() == before
    longer.parent = str(segment)
    check.check(longer)
    experiment = build.load(longer, batch_size=json.loads(before)["batch_size"])
    begun = child.begin(open_run.new_state(longer, experiment), longer)
    assert not begun.left


def images_of_test(joined, directory: pathlib.Path) -> prepared.Split:
    record = json.loads((joined / "segment" / "run.json").read_text())
    split = prepared.open_split(record["data_directory"], "test")
    directory.mkdir()
    for number in range(len(split)):
        cv2.imwrite(str(directory / f"{number}.png"), split[number]["image"])
    return split


@pytest.mark.parametrize("passing", ["some", "none"])
def test_predictions_are_what_was_scored(joined, tmp_path, passing):
    run = tmp_path / "run"
    shutil.copytree(joined, run)
    split = images_of_test(joined, tmp_path / "images")
    request = folder.Request((run,), tmp_path / "images", tmp_path / "out")
    scored = rows(joined / "eval" / "test_per_image.csv")
    if passing == "none":
        frozen = json.loads((run / files.TWO_STAGE).read_text()) | {"threshold": 1.0}
        (run / files.TWO_STAGE).write_text(json.dumps(frozen))
    outcome = folder.predict(request)
    assert not outcome.problems and len(outcome.rows) == len(split)
    for number, name in enumerate(split.ids):
        row = outcome.rows[str(number)]
        mask = cv2.imread(str(tmp_path / f"out/masks/{number}.png"), -1)
        assert np.count_nonzero(mask) == row["area_px/infection"]
        assert 0 <= row["class_covid19"] <= 1 and row["segmented"] in (0, 1)
        if passing == "none":
            assert row["segmented"] == 0 and not mask.any()
        else:
            assert row["area_px/infection"] == int(scored[name]["predicted_pixels"])
    table = (tmp_path / "out" / "predictions.csv").read_bytes()
    (tmp_path / "out" / "masks" / "0.png").unlink()
    assert folder.predict(request).skipped == len(split) - 1  # that one alone again
    assert (tmp_path / "out" / "predictions.csv").read_bytes() == table


def test_a_joined_run_is_not_opened_as_one_network(joined):
    with pytest.raises(errors.ConfigError, match="is two runs joined"):
        finished_run.load(joined)


@pytest.mark.parametrize(
    "block,message",
    [
        ({"image_class": "covid"}, "image_class is 'covid', but the data set has"),
        ({"pixel_class": "background"}, "pixel_class is 'background', but the data"),
    ],
)
def test_classes_that_are_none(joined, block, message):
    record = json.loads((joined / "segment" / "run.json").read_text())
    split = prepared.open_split(record["data_directory"], "validation")
    with pytest.raises(errors.ConfigError, match=message):
        two_stage.classes(
            config(**{f"two_stage.{k}": v for k, v in block.items()}), split
        )


def test_a_wrong_name_is_said_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["main.py", f"--config={RECIPE}:hybrid_smoke"])
    monkeypatch.setattr(stages.run_members, "here", None)
    wrong = config(**{"two_stage.image_class": "covid"})
    with pytest.raises(errors.ConfigError, match="image_class is 'covid'"):
        stages.main(wrong, tmp_path / "run")
    with pytest.raises(errors.ConfigError, match="two_stage.objective"):
        check.check(config(**{"two_stage.objective": "dice_poled"}))


def test_images_that_the_first_stage_learned_from_are_not_scored(joined):
    record = json.loads((joined / "segment" / "run.json").read_text())
    train, validation, test = (
        prepared.open_split(record["data_directory"], name)
        for name in ("train", "validation", "test")
    )
    scored = {"validation": validation, "test": test}
    two_stage.check_apart(train, scored)
    with pytest.raises(errors.DataError, match="training split of the first stage"):
        two_stage.check_apart(test, scored)


@pytest.mark.parametrize(
    "body,message",
    [
        ("", "has no get_stages"),
        ("def get_stages(): return {'classify': {}}", "of classify and segment; it"),
    ],
)
def test_a_recipe_names_both_stages(tmp_path, body, message):
    path = tmp_path / "recipe.py"
    path.write_text(f"def get_config(arg=''): pass\n\n\n{body}\n")
    with pytest.raises(errors.ConfigError, match=message):
        members.stages(config(), str(path))
