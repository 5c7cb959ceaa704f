"""Classes of whole images, trained to the end: alone, and beside pixels."""

import csv

import cv2
import numpy as np
import pytest
from support import image_class_data as stripes
from support import runs

from jaxseg import errors
from jaxseg.click import rounds
from jaxseg.doctor import audit
from jaxseg.experiment import build, finished_run, score_again
from jaxseg.predict import folder
from jaxseg.report.run import build as report
from jaxseg.run_directory import files, schemas, summary
from jaxseg.train import loop

NAMES = list(stripes.EXCLUSIVE)
OF_PIXELS = {"image_level", "calibration", "conformal", "surface", "by_threshold"}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXSEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A run that learned the classes of whole images and no pixels."""
    root = tmp_path_factory.mktemp("alone")
    changes = {"epochs": 60, "eval.every_epochs": 20}
    block = stripes.config(root, {"unknown": True}, **stripes.CLASSIFY | changes)
    loop.train_and_evaluate(block, root / "run")
    return root / "run"


@pytest.fixture(scope="module")
def joint(tmp_path_factory):
    """A run that learned classes of which several may be shown, and pixels."""
    root = tmp_path_factory.mktemp("joint")
    changes = {
        "loss.image_class_cross_entropy.weight": 0.0,
        "loss.image_class_binary_cross_entropy.weight": 1.0,
        "loss.image_class_binary_cross_entropy.positive_weights": (1.0, 2.0),
    }
    options = {"exclusive": False, "unknown": True}
    block = stripes.config(root, options, **changes)
    loop.train_and_evaluate(block, root / "run")
    return root / "run"


def result(run, split="test"):
    return files.read(run / f"eval/{split}.json", schemas.Result)


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def pictures(root):
    """The first images of test, as files."""
    (root / "in").mkdir()
    for number in range(4):
        image = stripes.example("test", number)["image"]
        cv2.imwrite(str(root / f"in/test{number:03d}.png"), image)
    return root / "in"


def predicted(root, *runs_, **options):
    request = folder.Request(runs_, root / "in", root / "out", **options)
    folder.predict(request)
    return table(root / "out/predictions.csv")


def test_the_classes_are_learned_and_nothing_is_said_of_pixels(alone):
    block = result(alone)
    assert block["pixels_trained"] is False and block["operating_point"] is None
    assert block["metrics"] == block["baselines"] == [] and not block["curves"]
    assert not OF_PIXELS & {*block}
    classes = block["image_classes"]
    assert classes["names"] == NAMES and classes["exclusive"]
    assert classes["unknown"] == [1, 1, 1]
    means = {row["name"]: row["value"] for row in classes["means"]}
    majority = classes["baselines"][1]["metrics"]["accuracy"]
    assert means["accuracy"] > majority and means["roc_auc_mean"] > 0.7
    frozen = files.read(alone / files.OPERATING_POINT, schemas.OperatingPoint)
    assert {*frozen} == {"step", "operating_point", "image_classes"}
    cuts = [row["threshold"] for row in frozen["image_classes"]["classes"]]
    assert [row["threshold"] for row in classes["classes"]] == cuts
    assert not any(row["optimistic"] for row in classes["classes"])
    assert all(
        r["optimistic"] for r in result(alone, "validation")["image_classes"]["classes"]
    )


def test_its_files_have_no_pixels_either(alone):
    assert {p.name for p in (alone / "eval").iterdir()} == {
        f"{split}{end}"
        for split in ("validation", "test")
        for end in (".json", "_per_image.csv", "_examples.json")
        + ("_class_examples.json", "_class_examples")
    }
    rows = runs.history(alone)
    names = [name for name in rows[0] if name.startswith(("validation/", "train/"))]
    assert names == [
        "validation/class_roc_auc_mean",
        "validation/class_average_precision_mean",
        "validation/class_f1_macro",
        "validation/class_accuracy",
        "validation/loss",
    ]
    record = files.read_json(alone / files.RUN)
    assert record["best"]["metric"] == "validation/class_f1_macro"
    row = table(alone / "eval/test_per_image.csv")[0]
    assert row["predicted_pixels"] == "" and float(row["class_level"]) <= 1
    lines = summary.score_lines(result(alone))
    assert "accuracy" in lines and "dice" not in lines


def test_the_confusion_is_that_of_the_table(alone):
    counts = np.zeros((3, 3), int)
    for row in table(alone / "eval/test_per_image.csv"):
        truth = [row[f"class_{name}_truth"] for name in NAMES]
        if "1" in truth:
            answer = [row[f"class_{name}_decided"] for name in NAMES]
            counts[truth.index("1"), answer.index("1")] += 1
    assert result(alone)["image_classes"]["confusion"] == counts.tolist()
    assert counts.sum() == 8


def test_a_run_without_pixels_has_a_page(alone):
    paths = report.build(alone)
    words = paths["markdown"].read_text()
    assert "Dice" not in words.split("## Configuration")[0]


def test_it_is_scored_again_to_the_bit(alone):
    assert score_again.score_again(alone, "test").same == "yes"


def test_pixels_are_still_scored_beside_the_classes(joint):
    block = result(joint)
    assert "pixels_trained" not in block
    assert OF_PIXELS - {"surface"} <= {*block} and block["metrics"]
    classes = block["image_classes"]
    assert classes["confusion"] is None and not classes["exclusive"]
    assert classes["unknown"] == [1, 0]
    assert [row["name"] for row in classes["classes"]] == list(stripes.TOGETHER)
    history = runs.history(joint)[-1]
    assert history["validation/dice_pooled"] and history["validation/class_f1_macro"]
    assert "validation/class_accuracy" not in history
    row = table(joint / "eval/test_per_image.csv")[0]
    assert row["dice"] is not None and row["class_upright_decided"] in ("", "0", "1")
    assert score_again.score_again(joint, "test").same == "yes"
    report.build(joint)


def test_predictions_are_those_that_were_scored(alone, joint, tmp_path):
    pictures(tmp_path)
    rows = {row["id"]: row for row in predicted(tmp_path, alone)}
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "predictions.csv",
        "predict.json",
        "finished.jsonl",
        "run.lock",
    }
    scored = {row["id"]: row for row in table(alone / "eval/test_per_image.csv")}
    for name, row in rows.items():
        for c in NAMES:
            assert float(row[f"class_{c}"]) == pytest.approx(
                float(scored[name][f"class_{c}"]), rel=1e-6
            )
        best = max(NAMES, key=lambda c: float(row[f"class_{c}"]))
        assert row["image_class"] == best and "area_px/square" not in row
        assert float(row["confidence"]) == float(row[f"class_{best}"])
    with pytest.raises(errors.ConfigError, match="omit --probabilities"):
        predicted(tmp_path, alone, overwrite=True, probabilities=True)
    with pytest.raises(errors.ConfigError, match="learned other classes of whole"):
        predicted(tmp_path, alone, joint, overwrite=True)


def test_masks_and_classes_of_a_run_that_learned_both(joint, tmp_path):
    pictures(tmp_path)
    rows = {row["id"]: row for row in predicted(tmp_path, joint)}
    assert (tmp_path / "out/masks/test000.png").is_file()
    frozen = files.read_json(joint / files.OPERATING_POINT)["image_classes"]
    scored = {row["id"]: row for row in table(joint / "eval/test_per_image.csv")}
    for row in rows.values():
        assert "image_class" not in row and row["area_px/square"]
        for one in frozen["classes"]:
            value = float(row[f"class_{one['name']}"])
            cut = one["threshold"]
            want = "" if cut is None else str(int(value >= cut))
            assert row[f"class_{one['name']}_decided"] == want
    # the picture of the second one is drawn for exclusive classes, the first is alike
    same = rows["test000"], scored["test000"]
    assert float(same[0]["class_level"]) == pytest.approx(
        float(same[1]["class_level"]), rel=1e-5
    )
    run = finished_run.load(joint)
    one = run.predict(stripes.example("test", 0)["image"])
    assert one.image_score is None and len(one.image_classes) == 2
    assert one.image_classes[0] == pytest.approx(float(same[0]["class_level"]))


def test_an_ensemble_gives_the_mean_of_its_classes(joint, tmp_path):
    pictures(tmp_path)
    one = predicted(tmp_path, joint)
    two = predicted(tmp_path, joint, joint, overwrite=True)
    for a, b in zip(one, two, strict=True):
        assert float(a["class_level"]) == pytest.approx(float(b["class_level"]))


def test_clicks_say_nothing_to_a_run_without_pixels(alone):
    with pytest.raises(errors.ConfigError, match="learned classes of whole images and"):
        rounds.click(alone, positive=1, negative=1)


def test_the_doctor_knows_terms_of_classes_and_asks_nothing_of_masks(tmp_path):
    block = stripes.config(tmp_path, {"masks": False}, **stripes.CLASSIFY)
    experiment = build.load(block, batch_size=8)
    case = audit.full_case(block, experiment, show=False)
    names = ("class_support", "label_values", "unlabelled", "supervision", "loss_terms")
    levels = {f.name: f.level for f in audit.run(case, names)}
    assert levels == dict.fromkeys(names, "ok")
    one = next(f for f in audit.run(case, ["loss_terms"]))
    chance, right = one.drawing.splitlines()[-1].split()[-2:]
    assert float(right) < 0.1 < float(chance)
