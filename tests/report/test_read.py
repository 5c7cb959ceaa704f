"""Reading names what is missing; derived numbers agree with a second opinion."""

import csv
import json
import math
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics as sk

from jaxseg.errors import DataError
from jaxseg.report import derived_numbers, text
from jaxseg.report.read import read
from jaxseg.report.run import cases
from jaxseg.run_directory import schemas

COLUMNS = ",".join(sorted(schemas.HistoryRow.__required_keys__))
NOTHING = COLUMNS.count(",") * ","


@pytest.fixture
def copy(binary, tmp_path):
    ignore = shutil.ignore_patterns("report*", "figures")
    return shutil.copytree(binary, tmp_path / "ptx", ignore=ignore)


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "run.json",
        "history.csv",
        "eval/test_per_image.csv",
        "eval/test_pr.csv",
        "eval/validation_examples.json",
    ],
)
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(DataError, match=name):
        read(copy)


def test_a_missing_picture_or_evaluation_is_named(copy):
    picture = next((copy / "eval/test_examples").glob("*_mask.png"))
    picture.unlink()
    with pytest.raises(DataError, match=picture.name):
        read(copy)
    for path in (copy / "eval").glob("*.json"):
        path.unlink()
    with pytest.raises(DataError, match=r"no <split>.json, and .*run.json says"):
        read(copy)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.json", "{", "not readable as JSON"),
        ("run.json", "[]", "holds a list, wants a dict"),
        ("history.csv", "epoch\n1\n", "no column 'data_wait_share'"),
        ("history.csv", f"{COLUMNS}\n", "has no rows"),
        ("history.csv", f"{COLUMNS}\n{NOTHING}\n", "without an epoch"),
        ("history.csv", f"{COLUMNS}\nlow{NOTHING}\n", "line 2: .* is 'low'"),
        ("run.json", '{"seconds": 3}', "run.json has no 'batch_size'"),
        ("eval/test.json", '{"images": 3}', "test.json has no 'baselines'"),
        ("eval/test_examples.json", '[{"id": "a"}]', "without 'image'"),
    ],
)
def test_a_broken_file_is_named(copy, name, content, message):
    (copy / name).write_text(content)
    with pytest.raises(DataError, match=message):
        read(copy)


@pytest.mark.parametrize(
    "name", ["run.json", "config.json", "history.csv", "eval/test.json"]
)
def test_a_file_that_never_ends_is_not_waited_for(copy, name):
    (copy / name).unlink()
    os.mkfifo(copy / name)
    with pytest.raises(DataError, match=f"{name} is no regular file .*: put the file"):
        read(copy)


def test_not_a_number_becomes_undefined(copy):
    path = copy / "eval/test.json"
    result = json.loads(path.read_text())
    result["metrics"][0]["value"] = math.nan
    path.write_text(json.dumps(result))
    rows = list(csv.DictReader((copy / "history.csv").read_text().splitlines()))
    rows[0]["loss"], rows[1]["loss"] = "nan", ""
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    (copy / "history.csv").write_text("\n".join(lines))
    run = read(copy)
    assert run["splits"]["test"]["result"]["metrics"][0]["value"] is None
    assert [row["loss"] for row in run["history"]][:2] == [None, None]


def test_progression_covers_every_epoch_once(run):
    for count in (1, 7, 10, 23, 24):
        part = run | {"history": run["history"][:count]}
        ranges = derived_numbers.progression(part, "validation/dice_positives")
        covered = [
            e for r in ranges for e in range(int(r["first"]), int(r["last"]) + 1)
        ]
        assert covered == list(range(1, count + 1)) and len(ranges) == min(10, count)
    _, values = derived_numbers.column(run, "validation/dice_positives")
    ranges = derived_numbers.progression(run, "validation/dice_positives")
    assert max(r["best"] for r in ranges) == values.max()


def test_image_curves_agree_with_scikit_learn(run):
    split = run["splits"]["test"]
    for row in split["images"]:  # coarse scores, so that there are ties
        row["max_probability"] = round(row["max_probability"], 1)
    truth = [row["positive"] for row in split["images"]]
    score = [row["max_probability"] for row in split["images"]]
    curves = derived_numbers.image_curves(split)
    area = np.trapezoid(curves["recall"], curves["fpr"])
    assert area == pytest.approx(sk.roc_auc_score(truth, score), abs=1e-12)
    steps = np.diff(curves["recall"]) @ curves["precision"][1:]
    expected = sk.average_precision_score(truth, score)
    assert steps == pytest.approx(expected, abs=1e-12)


def test_realised_share_is_weighted_by_the_images_fed(run):
    rows = [(1, 10, 0.8, 0.9), (2, 40, 0.4, 0.5)]  # 10 then 30 images
    names = ("epoch", "images_seen", "share_target", "share_realised")
    run["history"] = [dict(zip(names, row, strict=True)) for row in rows]
    shares = derived_numbers.shares(run)
    assert shares["realised"] == pytest.approx((10 * 0.9 + 30 * 0.5) / 40)
    assert (shares["first"], shares["last"]) == (0.8, 0.4)
    assert shares["worst_gap"] == pytest.approx(0.1)
    run["info"]["fit"] = "crop"  # the target is of images, what was fed of windows
    assert derived_numbers.shares(run)["worst_gap"] is None


def test_panels_colour_right_extra_missed_and_unlabelled(run, tmp_path):
    grey = np.full((2, 3), 100, np.uint8)
    truth = np.array([[1, 0, 1], [0, 255, 0]], np.uint8)
    probability = np.array([[255, 200, 20], [0, 255, 10]], np.uint8)
    files = {"image": grey, "mask": truth, "probability": probability}
    for name, array in files.items():
        Image.fromarray(array).save(tmp_path / f"{name}.png")
    case = {"id": "x", "role": "best", "dice": 0.5, "predicted_pixels": 2}
    case |= {name: tmp_path / f"{name}.png" for name in files}
    split = run["splits"]["test"] | {"cases": [case]}
    (shown,) = cases.cases(split)
    assert "Drawn: 3 pixels" in shown["note"]  # the unlabelled one is drawn as well
    (tmp_path / "panel.png").write_bytes(shown["panels"][2]["png"])
    panel = np.array(Image.open(tmp_path / "panel.png")).astype(int)
    at = panel[60::120, 60::120]  # the middle of each of the 2 x 3 pixels
    colours = [cases.RIGHT, cases.EXTRA, cases.MISSED]
    for got, colour in zip(at[0], colours, strict=True):
        expected = 100 + 0.6 * (np.array(colour) - 100)
        np.testing.assert_allclose(got, expected, atol=1)
    np.testing.assert_allclose(at[1, 1], 100 + 0.6 * 28, atol=1)
    np.testing.assert_allclose(at[1, [0, 2]], 100, atol=1)


def test_a_mask_of_another_size_is_named(run, tmp_path):
    case = run["splits"]["test"]["cases"][0]
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(tmp_path / "small.png")
    case["mask"] = tmp_path / "small.png"
    with pytest.raises(DataError, match="small.png is 3x3 pixels"):
        cases.cases(run["splits"]["test"])


def test_numbers_are_printed_one_way():
    assert text.number(None) == text.number(float("nan")) == "n/a"
    assert text.number(0.71249) == "0.712" and text.number(0.00993) == "0.0099"
    assert text.number(0.0) == "0.000" and text.number(1.0) == "1.000"
    assert text.number(12047, "count") == "12,047"
    assert text.number(0.2229, "percent") == "22.3 %"
    assert text.number(0.0041, "percent") == "0.41 %"
    assert text.number(4980, "seconds") == "1 h 23 min"
    assert text.number(61.4, "seconds") == "1 min 01 s"
    assert text.number(1e-4, "plain") == "0.0001" and text.number(512, "plain") == "512"
    row = {"value": None, "low": None, "high": None, "support_images": 0}
    assert text.scored(row) == "n/a (support 0)"


def test_config_is_shown_whole(binary):
    config = read(binary)["config"]
    stored = json.loads((binary / "config.json").read_text())
    assert config["augment"].items() >= stored["augment"].items()
    page = (binary / "report.html").read_text()
    for name, value in text.flat(config):
        cells = f'"Setting">{name}</td><td data-head="Value">{value}</td>'
        assert cells in page
