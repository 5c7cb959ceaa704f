"""Five phantom classes, the rarest 0.3 % of the pixels, trained and scored to the end.

With class weights every class is predicted; without, the run says which are not.
"""

import csv
import json
import shutil

import cv2
import numpy as np
import pytest
from ml_collections import ConfigDict
from support import older_runs, runs

import jaxseg
from jaxseg.click import rounds
from jaxseg.data.phantoms import tissue
from jaxseg.experiment import score_again
from jaxseg.postprocess import decision
from jaxseg.report.read import read
from jaxseg.report.run import data_card
from jaxseg.run_directory import files, older_configs
from jaxseg.train import loop

RARE = ("vessel", "nodule", "ganglion")


def config(class_weights):
    return runs.config(
        "folder",
        **{
            "data.dir": "",
            "data.demo.images": 20,
            "data.demo.size": 64,
            "data.image_size": (64, 64),
            "epochs": 14,
            "batch_size": 4,
            "eval.every_epochs": 7,
            "eval.bootstrap": 20,
            "model.name": "unet",
            "model.unet.widths": (8, 16),
            "loss.cross_entropy.class_weights": class_weights,
            "optim.learning_rate": 1e-2,
            "optim.warmup_epochs": 1.0,
            "augment.rotate_degrees": 0.0,
            "augment.scale": (1.0, 1.0),
            "augment.shift": 0.0,
        },
    )


@pytest.fixture(scope="module")
def weighted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("weighted") / "run"
    recipe = config("inverse")
    recipe.sampler.name = "by_class"
    loop.train_and_evaluate(recipe, workdir)
    return workdir


def _result(workdir, split="validation"):
    return json.loads((workdir / f"eval/{split}.json").read_text())


def _never(rows):
    return [row["class"] for row in rows if row["never_predicted"]]


def test_with_class_weights_every_class_is_predicted(weighted):
    found = _result(weighted)
    assert [row["class"] for row in found["class_table"]] == list(tissue.CLASSES)
    assert _never(found["class_table"]) == _never(found["argmax"]["class_table"]) == []
    last = runs.history(weighted)[-1]
    assert last["validation/never_predicted"] == "0"
    assert all(float(last[f"validation/predicted_share/{c}"]) > 0 for c in RARE)
    share = float(last["validation/truth_share/ganglion"])
    support = found["class_table"][-1]["support_pixels"]
    assert share == support / found["pixels"] and 0.001 < share < 0.01


def test_the_run_keeps_the_part_of_each_class_and_the_report_shows_it(weighted):
    sampler = json.loads((weighted / "run.json").read_text())["sampler"]
    first, last = sampler["class_parts"]
    assert first == last == pytest.approx([0.0, *[0.25] * 4])  # no image shows none
    rows = data_card.class_balance(read(weighted))["rows"]
    assert [[cell["main"] for cell in row][:2] for row in rows] == [
        ["no foreground", "0.0 %"],
        *([name, "25.0 %"] for name in tissue.CLASSES[1:]),
    ]
    history = runs.history(weighted)
    fed = np.mean([float(row["share_realised/ganglion"]) for row in history])
    assert rows[-1][-1]["main"] == f"{100 * fed:.1f} %" and fed >= 0.25


def test_without_them_the_run_says_which_classes_are_never_predicted(tmp_path, caplog):
    unweighted = config(None)
    unweighted.eval.surface = False
    loop.train_and_evaluate(unweighted, tmp_path / "run")
    (warning,) = (r for r in caplog.messages if "never predicts" in r)
    assert "after 50 % of training" in warning
    assert all(f"'{name}' (in " in warning for name in RARE) and "gland" not in warning
    rows = runs.history(tmp_path / "run")
    assert rows[-1]["validation/never_predicted"] == "3"
    assert rows[-1]["validation/dice_pooled/ganglion"] == "0.0"
    found = _result(tmp_path / "run")
    assert _never(found["argmax"]["class_table"]) == list(RARE)


def test_offsets_are_chosen_on_validation_and_applied_to_test(weighted):
    frozen = runs.point(weighted)["operating_point"]
    validation, test = _result(weighted), _result(weighted, "test")
    assert frozen["rule"] == "offsets" and len(frozen["offsets"]) == 5
    assert frozen["value"] > frozen["value_argmax"] > 0
    rows = {(r["name"], r["class"]): r["value"] for r in validation["metrics"]}
    assert rows["dice_pooled", "mean"] == frozen["value"]
    assert validation["argmax"]["metrics"]["dice_pooled"] == frozen["value_argmax"]
    assert validation["operating_point"]["optimistic"]
    assert test["operating_point"] == frozen | {"optimistic": False}
    for found in (validation, test):
        assert found["baselines"][-1]["name"] == "nearest_training_image"
        assert len(found["calibration"]["by_class"]) == 4
        assert len(found["curves"]["pixel_by_class"]) == 4


def test_a_run_scores_again_with_the_same_bytes(weighted, tmp_path):
    shutil.copytree(weighted, tmp_path / "run")
    before = runs.scores(weighted)
    assert score_again.score_again(tmp_path / "run", "test").same == "yes"
    assert runs.scores(tmp_path / "run") == before
    path = tmp_path / "run/eval/test.json"
    older = json.loads(path.read_text())
    del older["class_table"], older["argmax"], older["baselines"][-1]
    older["calibration"] = None
    path.write_text(json.dumps(older))
    assert score_again.score_again(tmp_path / "run", "test").same == "yes"
    older["pixels"] += 1
    path.write_text(json.dumps(older))
    assert score_again.score_again(tmp_path / "run", "test").same == "no"


def test_a_prediction_is_by_the_offsets_as_scoring_saw_it(weighted):
    run, folder = jaxseg.load(weighted), weighted / "eval/test_examples"
    shown = json.loads((weighted / "eval/test_examples.json").read_text())
    with open(weighted / "eval/test_per_image.csv", newline="") as file:
        table = {row["id"]: row for row in csv.DictReader(file)}
    differ = 0
    for case in shown:
        image = cv2.imread(str(folder / case["image"]), cv2.IMREAD_UNCHANGED)
        mask = cv2.imread(str(folder / case["mask"]), cv2.IMREAD_UNCHANGED)
        want = cv2.imread(str(folder / case["prediction"]), cv2.IMREAD_UNCHANGED)
        prediction = run.predict(image[..., ::-1])
        np.testing.assert_array_equal(prediction.classes, want)
        differ += (prediction.probability.argmax(-1) != want).sum()
        row = table[case["id"]]
        counted = np.bincount(want[mask != 255], minlength=5)
        for c, name in enumerate(tissue.CLASSES[1:], start=1):
            assert int(row[f"predicted_pixels/{name}"]) == counted[c]
        assert row["worst_class"] == (case["worst_class"] or "")
    assert differ > 0


def test_a_run_of_before_there_were_offsets_keeps_argmax(weighted, tmp_path):
    shutil.copytree(weighted, tmp_path / "run")
    path = tmp_path / "run" / files.OPERATING_POINT
    frozen = json.loads(path.read_text())
    older = frozen | {"operating_point": None, "temperature": None}
    path.write_text(json.dumps(older))
    older_runs.unseal(tmp_path / "run")
    before = _result(weighted, "test")["argmax"]
    found = score_again.score_again(tmp_path / "run", "test").result
    assert found["operating_point"] is None and "argmax" not in found
    assert found["confusion"] == before["confusion"]
    assert found["class_table"] == before["class_table"]
    assert found["calibration"]["temperature"] is None
    config = older_configs.complete(ConfigDict({"operating_point": {}}))
    assert decision.rule_for(config.operating_point.rule, 5) == "argmax"


def test_clicks_correct_what_the_offsets_decide(weighted, monkeypatch):
    decide, points = rounds.decision.decide, []

    def noted(probability, point):
        points.append(point)
        return decide(probability, point)

    monkeypatch.setattr(rounds.decision, "decide", noted)
    rounds.click(weighted, positive=1, negative=1)
    frozen = runs.point(weighted)["operating_point"]
    assert len(points) == 12 and all(point == frozen for point in points)
