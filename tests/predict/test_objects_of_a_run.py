"""A run that looks for objects: chosen on validation, scored, predicted alike."""

import csv

import numpy as np
import pytest
import tifffile
from support import predicting, runs

import jaxseg
from jaxseg import errors
from jaxseg.data import objects, prepared
from jaxseg.data.files import images
from jaxseg.experiment import from_config, score_again
from jaxseg.metrics import instances
from jaxseg.run_directory import files
from jaxseg.train import loop

STAR = {
    **runs.SMALL,
    "target.name": "star",
    "target.star.n_rays": 8,
    "target.star.reach": 12,
    "loss.object_probability.weight": 1.0,
    "loss.star_rays.weight": 0.1,
    "objects.rule": "star",
    "objects.min_area": 3,
    "objects.min_area_shares": (0.0,),
    "eval.bootstrap": 20,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder of files of four kinds without ids, and a run on it."""
    root = tmp_path_factory.mktemp("objects")
    predicting.data(root / "data")
    predicting.train(root, **{"objects.rule": "components"})
    return root


@pytest.fixture(scope="module")
def star(tmp_path_factory):
    """(workdir, config) of a run on drawn beads that learns rays for two epochs."""
    workdir = tmp_path_factory.mktemp("star") / "run"
    config = runs.config("microbeads", **STAR)
    loop.train_and_evaluate(config, workdir)
    return workdir, config


def _result(workdir, split="test"):
    return files.read_json(workdir / f"eval/{split}.json")


def test_masks_counts_and_objects_are_those_that_were_scored(home, tmp_path):
    source, out = home / "images", tmp_path / "out"
    for name, path in predicting.test_files(home / "data").items():
        target = source / f"{name}{path.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    assert not predicting.predict(home / "run", source, out).problems
    counts = {row["id"]: row for row in predicting.table(out / "counts.csv")}
    rows = predicting.table(home / "run/eval/test_per_image.csv")
    assert len(rows) == len(counts) > 4
    summed = np.zeros(len(instances.FIELDS))
    for row in rows:
        labels = tifffile.imread(out / f"instances/{row['id']}.tif")
        truth = images.read_mask(home / f"data/masks/{row['id']}.png")
        truth = objects.components(truth)
        measured = instances.measure(truth, labels)
        summed += measured
        true, predicted = (int(n[0]) for n in instances.counts(measured[None]))
        assert row["predicted_objects"] == counts[row["id"]]["objects"]
        assert (row["true_objects"], row["predicted_objects"]) == (
            str(true),
            str(predicted),
        )
    block = _result(home / "run")["objects"]
    scores = instances.scores(summed)
    by_name = {row["name"]: row for row in block["metrics"]}
    assert by_name["object_f1_50"]["value"] == pytest.approx(scores["f1"][0])
    assert by_name["object_aji"]["value"] == pytest.approx(float(scores["aji"]))
    assert by_name["object_f1_50"]["value"] > 0.5
    assert block["truth"] == objects.STAND_IN and block["unit"] == "px"


def test_by_rows_of_tiles_the_objects_are_those_of_the_image_in_memory(home, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    pixels, _ = predicting.example(0, size=(150, 83))
    micrometres = {"imagej": True, "resolution": (2, 2), "metadata": {"unit": "um"}}
    tifffile.imwrite(source / "a.tif", pixels, **micrometres)
    ask = {"formats": ("tif",), "overlays": False}
    assert not predicting.predict(home / "run", source, tmp_path / "a", **ask).problems
    ask["max_pixels"] = 100
    assert not predicting.predict(home / "run", source, tmp_path / "b", **ask).problems
    one, other = (tifffile.imread(tmp_path / f"{o}/instances/a.tif") for o in "ab")
    np.testing.assert_array_equal(one, other)
    assert one.max() > 1
    for name in ("counts.csv", "objects.csv"):
        one, other = (predicting.table(tmp_path / f"{out}/{name}") for out in "ab")
        assert one == other


def test_the_settings_come_from_validation_and_say_so(home):
    frozen = runs.point(home / "run")["objects"]
    assert set(frozen["settings"]) == {"threshold"}
    assert frozen["source_split"] == "validation"
    validation, test = (_result(home / "run", s) for s in ("validation", "test"))
    assert validation["objects"]["optimistic"] and not test["objects"]["optimistic"]
    value = {r["name"]: r["value"] for r in validation["objects"]["metrics"]}
    assert frozen["value"] == pytest.approx(value["object_f1_50"])


def test_scoring_again_gives_the_same_bytes(home):
    before = runs.scores(home / "run")
    assert score_again.score_again(home / "run", "test").same == "yes"
    assert runs.scores(home / "run") == before
    drawn = [name for name in before if name.startswith("test_objects/")]
    worst = _result(home / "run")["objects"]["worst"]
    assert len(drawn) == 3 == sum("picture" in row for row in worst)
    assert [row["f1_50"] for row in worst] == sorted(row["f1_50"] for row in worst)


def test_rays_are_learnt_chosen_scored_and_predicted(star):
    workdir, config = star
    run = jaxseg.load(workdir)
    split = prepared.open_split(from_config.dataset(config), "test")
    block = _result(workdir)["objects"]
    assert block["rule"] == "star" and block["unit"] == "um"
    assert block["truth"] == "object ids" and block["cleaning"]["min_area"] == 3
    with open(workdir / "eval/test_per_image.csv", newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert len(rows) == len(split)
    for index in range(len(split)):
        example = split[index]
        answer = run.predict(example["image"])
        labels, row = answer.objects, rows[example["id"]]
        assert labels.shape == example["mask"].shape
        assert str(labels.max()) == row["predicted_objects"]
        assert str(len(np.unique(example["instances"])) - 1) == row["true_objects"]
    assert answer.probability.shape[-1] == 2


def test_rays_are_not_turned(star, tmp_path):
    (tmp_path / "images").mkdir()
    images_of = np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8)
    tifffile.imwrite(tmp_path / "images/a.tif", images_of)
    with pytest.raises(errors.ConfigError, match="--tta=flips"):
        predicting.predict(
            star[0], tmp_path / "images", tmp_path / "o", augmentation="rot90"
        )


def test_a_run_that_looks_for_none_says_nothing_of_objects(tmp_path_factory):
    home = predicting.shared(tmp_path_factory)
    assert "objects" not in _result(home / "run")
    assert "objects" not in runs.point(home / "run")
    answer = jaxseg.load(home / "run").predict(np.zeros((40, 40), np.uint8))
    assert answer.objects is None
