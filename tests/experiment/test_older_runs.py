"""A run of an earlier version goes on, is scored, exported, reported, and predicts."""

import json
import pathlib
import shutil

import cv2
import numpy as np
import pytest
import safetensors.numpy
from ml_collections import ConfigDict
from support import older_runs, runs

import jaxseg
from jaxseg.errors import DataError
from jaxseg.experiment import finished_run, score_again
from jaxseg.report.run import build as run_build
from jaxseg.run_directory import older_configs
from jaxseg.train import loop
from jaxseg.weights import save


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    return older_runs.unpack(tmp_path_factory.mktemp("older"))


def _numbers(value, path=""):
    """{path: number} of everything in a result."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return {path: value}
    return {
        k: v
        for name, part in items
        for k, v in _numbers(part, f"{path}/{name}").items()
    }


def _same_scores(new, old):
    """Equal but for what another processor rounds otherwise."""
    new, old = _numbers(new), _numbers(old)
    assert new.keys() == old.keys()
    for path, value in old.items():
        if isinstance(value, float):
            assert new[path] == pytest.approx(value, abs=2e-3), path
        elif not isinstance(value, int) or "error_bound" in path:
            assert new[path] == value, path


def test_a_finished_run_is_scored_again_with_the_same_result(older, tmp_path):
    shutil.copytree(older / "finished", tmp_path / "run")
    before = json.loads((older / "finished/eval/test.json").read_text())
    again = score_again.score_again(
        tmp_path / "run", "test", data_dir=str(older / "my_images")
    )
    # another processor rounds otherwise
    assert again.same in ("yes", "no", score_again.ROUNDED)
    _same_scores(again.result["metrics"], before["metrics"])
    assert again.result.keys() == before.keys()


def test_a_stopped_run_goes_on_to_what_the_finished_one_reached(older, tmp_path):
    shutil.copytree(older / "stopped", tmp_path / "run")
    config = ConfigDict(json.loads((tmp_path / "run/config.json").read_text()))
    config = older_configs.complete(config)
    config.data.dir = str(older / "my_images")
    record = loop.train_and_evaluate(config, tmp_path / "run")
    assert record["status"] == "finished" and record["resumed"] == 1
    want = runs.history(older / "finished")
    rows = runs.history(tmp_path / "run")
    assert [row["step"] for row in rows] == [row["step"] for row in want] == ["4", "8"]
    for name in ("loss", "validation/dice_pooled"):
        values = [[float(row[name] or 0) for row in each] for each in (rows, want)]
        assert values[0] == pytest.approx(values[1], rel=1e-3)


def test_a_finished_run_is_reported_and_exported(older, tmp_path):
    shutil.copytree(older / "finished", tmp_path / "run")
    paths = run_build.build(tmp_path / "run")
    assert "dice_pooled" in paths["markdown"].read_text()
    weights = finished_run.weights(jaxseg.load(tmp_path / "run"))
    named, title = save.arrays(weights, format="safetensors")
    save.write(tmp_path / "weights.safetensors", named, weights.facts)
    back = safetensors.numpy.load_file(tmp_path / "weights.safetensors")
    assert sum(a.size for a in back.values()) >= weights.facts["channels"] and title
    assert back.keys() == named.keys()


def test_a_run_predicts_an_array_of_any_size_as_stored(older):
    run = jaxseg.load(older / "finished")
    assert run.classes == ["background", "foreground"]
    image = cv2.imread(str(older / "my_images/images/s01.png"), cv2.IMREAD_UNCHANGED)
    mask = cv2.imread(str(older / "my_images/masks/s01.png"), cv2.IMREAD_UNCHANGED) > 0
    prediction = run.predict(image)
    assert prediction.classes.shape == image.shape == prediction.probability.shape[:2]
    assert prediction.classes.dtype == np.uint8
    np.testing.assert_allclose(prediction.probability.sum(-1), 1, atol=1e-6)
    inside = prediction.probability[mask, 1].mean()
    assert inside > prediction.probability[~mask, 1].mean() + 0.01
    again = run.predict(image[..., None])
    np.testing.assert_array_equal(again.probability, prediction.probability)
    assert run.predict(np.tile(image, (7, 5))).classes.shape == (7 * 24, 5 * 20)


@pytest.mark.parametrize(
    "image, message",
    [
        (np.zeros((9, 9), np.uint16), "holds uint16 numbers, .* trained on uint8"),
        (np.zeros((9, 9), np.float32), "holds float32 numbers"),
        (np.zeros((9, 9, 3), np.uint8), r"shape \(9, 9, 3\); .*\[height, width, 1\]"),
        (np.zeros((0, 9), np.uint8), r"shape \(0, 9\)"),
        (np.zeros(9, np.uint8), r"shape \(9,\)"),
        ("scan.png", "'scan.png' is the name of a file; give its pixels"),
        (pathlib.Path("scan.png"), "is the name of a file"),
        (None, "None came instead of an image, as from cv2.imread"),
        ([[1, 2], [3]], "is no array of numbers"),
        (np.array([["a"]]), "is no array of numbers"),
        ({"image": 1}, "is no array of numbers"),
    ],
)
def test_an_array_the_run_was_not_trained_on_is_refused(older, image, message):
    run = jaxseg.load(older / "finished")
    with pytest.raises(DataError, match=message):
        run.predict(image)


def test_a_prediction_is_what_scoring_saw(older, tmp_path):
    """The same image, by the Python door and by the pictures of its evaluation."""
    shutil.copytree(older / "finished", tmp_path / "run")
    run = jaxseg.load(tmp_path / "run")
    again = score_again.score_again(
        tmp_path / "run", "test", data_dir=str(older / "my_images")
    )
    folder = again.folder / "test_examples"
    for case in json.loads((again.folder / "test_examples.json").read_text()):
        image = cv2.imread(str(folder / case["image"]), cv2.IMREAD_UNCHANGED)
        want = cv2.imread(str(folder / case["prediction"]), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(run.predict(image).classes, want)
