"""A run with a decision head: trained, scored, and predicted by every door."""

import csv
import json

import jax
import numpy as np
import pytest
from support import predicting, runs, tiny_decided

import jaxseg
from jaxseg import errors
from jaxseg.data.files import images
from jaxseg.experiment import finished_run, measure_cost, score_again
from jaxseg.report import read
from jaxseg.run_directory import files, schemas
from jaxseg.train import loop


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    root = tmp_path_factory.mktemp("decided")
    tiny_decided.data(root / "data")
    changes = {"epochs": 12, "eval.every_epochs": 6, "eval.surface": True}
    changes |= {"eval.metric": "image_average_precision"}
    loop.train_and_evaluate(tiny_decided.config(root / "data", **changes), root / "run")
    return root


def _rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_training_scores_whole_images_and_chooses_by_them(home):
    record = json.loads((home / "run/run.json").read_text())
    assert record["best"]["metric"] == "validation/image_average_precision"
    rows = runs.history(home / "run")
    assert float(rows[-1]["validation/image_roc_auc"]) > 0.6


def test_a_metric_of_a_decision_needs_one(home):
    changes = {"eval.metric": "image_f1", "model.name": "support.tiny"}
    config = runs.config("folder", **predicting.QUICK | changes)
    config.data.dir = str(home / "data")
    with pytest.raises(errors.ConfigError, match="is of a decision head, and the"):
        loop.train_and_evaluate(config, home / "never")


def test_the_result_holds_every_block_and_scoring_again_agrees(home):
    result = files.read(home / "run/eval/test.json", schemas.Result)
    point = files.read(
        home / "run/checkpoints/operating_point.json", schemas.OperatingPoint
    )
    wanted = {"image_level", "post_processing", "by_threshold", "region_overlap"}
    assert wanted | {"by_threshold_dilated"} <= set(result)
    assert point["image"]["score"] == "decision"
    (head, _) = result["image_level"]["scores"]
    assert head["threshold"] == point["image"]["threshold"]
    assert point["image"]["source_split"] == "validation" and not head["optimistic"]
    again = score_again.score_again(home / "run", "test")
    assert again.same == "yes", again.notes
    assert read.read(home / "run")["splits"]["test"]["images"][0]["image_score"]


def test_a_single_image_has_the_score_of_the_table(home):
    """By jaxseg.load, by a folder, and as it was scored; tiles are the smaller ones."""
    run = jaxseg.load(home / "run")
    scored = {row["id"]: row for row in _rows(home / "run/eval/test_per_image.csv")}
    predicting.predict(home / "run", home / "data/images", home / "out")
    table = {row["id"]: row for row in _rows(home / "out/predictions.csv")}
    cut = run.operating_point["image"]["threshold"]
    for name, row in scored.items():
        image = images.read_image(home / f"data/images/{name}.png")
        score = run.predict(image).image_score
        assert score == float(row["image_score"]) == float(table[name]["image_score"])
        assert int(row["image_decision"]) == (score >= cut)
        assert table[name]["image_decision"] == row["image_decision"]
    assert run.predict(image, tile=(20, 20)).image_score != score


def test_rows_of_tiles_give_the_same_score(home, tmp_path):
    image = images.read_image(home / "data/images/03.png")
    predicting.write(tmp_path / "a.tif", image[..., 0])
    rows = []
    for name, limit in (("memory", 10**6), ("rows", 1000)):
        predicting.predict(
            home / "run", tmp_path / "a.tif", tmp_path / name, max_pixels=limit
        )
        rows.append(_rows(tmp_path / name / "predictions.csv")[0])
    assert rows[0] == rows[1] and float(rows[0]["image_score"]) > 0


@pytest.fixture
def changed(home, monkeypatch):
    """A way to load runs that do not exist: those of home, with other weights."""
    load = finished_run.load

    def patched(workdir):
        run = load(home / "run")
        name = str(workdir)
        if name.endswith("other"):
            weights = jax.tree.map(lambda a: a * np.float32(1.2), run.variables)
            return run._replace(variables=weights, workdir=workdir)
        if name.endswith("three"):
            model = tiny_decided.Model(says=3)
            shape = np.zeros((1, 32, 32, 1), np.float32)
            weights = model.init(jax.random.key(0), shape, train=False)
            return run._replace(
                parts=run.parts._replace(model=model),
                variables=jax.tree.map(np.asarray, weights),
                workdir=workdir,
            )
        return run

    monkeypatch.setattr(finished_run, "load", patched)
    return patched


def test_an_ensemble_has_the_mean_and_refuses_what_has_none(home, changed, tmp_path):
    path = home / "data/images/03.png"
    small = predicting.write(tmp_path / "small.png", images.read_image(path)[:30, :30])
    pixels = images.read_image(small)
    both = [changed(home / name).predict(pixels) for name in ("run", "other")]
    want = np.mean([one.image_score for one in both])
    assert abs(both[0].image_score - want) > 1e-4

    def scored(output, second="other", **options):
        pair = (home / "run", home / second)
        predicting.predict(pair, small, tmp_path / output, **options)
        return float(_rows(tmp_path / output / "predictions.csv")[0]["image_score"])

    assert scored("plain") == pytest.approx(want, abs=1e-6)
    turned = [
        np.mean([run.predict(np.rot90(pixels, k)).image_score for k in range(4)])
        for run in map(changed, (home / "run", home / "other"))
    ]
    found = scored("turned", augmentation="rot90")
    assert found == pytest.approx(np.mean(turned), abs=1e-6)
    with pytest.raises(errors.ConfigError, match="says 1 numbers .*three says 3"):
        scored("three", second="three")


def test_the_cost_is_measured_beside_the_scores(home):
    """The scores stay as they are, and the run is whole with the new file."""
    before = runs.scores(home / "run")
    row = measure_cost.measure_cost(home / "run", passes=3)
    assert row["size"] == [32, 32, 1] and row["latency_ms_p95"] > 0
    after = runs.scores(home / "run")
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"cost.json"}
    run = read.read(home / "run")
    assert run["cost"] == row and set(run["splits"]) == {"test", "validation"}
    measure_cost.measure_cost(home / "run", passes=2)
    assert read.read(home / "run")["cost"]["passes"] == 2


def test_a_mask_is_emptied_where_the_decision_says_no(home, tmp_path, monkeypatch):
    """Those of the others stay, and so do the scores; rows of tiles cannot know."""
    plain, black = tmp_path / "plain", tmp_path / "black"
    source = tmp_path / "in"
    for k, name in enumerate(("00", "01", "02", "03", "04", "05")):
        image = images.read_image(home / f"data/images/{name}.png")
        predicting.write(source / f"{k}.tif", image[..., 0])
    predicting.predict(home / "run", source, plain)
    scores = _rows(plain / "predictions.csv")
    # a threshold in the middle, so that it says no to some images that show something
    ordered = sorted(float(row["image_score"]) for row in scores)
    cut = float(np.mean(ordered[2:4]))
    load = finished_run.load

    def patched(workdir):
        run = load(workdir)
        image = {**run.operating_point["image"], "threshold": cut}
        return run._replace(operating_point={**run.operating_point, "image": image})

    monkeypatch.setattr(finished_run, "load", patched)
    predicting.predict(home / "run", source, black, blacken=True)
    changed = 0
    for old, row in zip(scores, _rows(black / "predictions.csv"), strict=True):
        assert row["image_score"] == old["image_score"]
        before, after = (
            images.read_image(out / f"masks/{row['id']}.png") for out in (plain, black)
        )
        yes = float(row["image_score"]) >= cut
        assert int(row["image_decision"]) == yes
        assert (after == (before if yes else 0)).all()
        changed += int((after != before).any())
    assert changed
    with pytest.raises(
        errors.ConfigError, match="predictions that were made otherwise"
    ):
        predicting.predict(home / "run", source, black)
    outcome = predicting.predict(
        home / "run", source, tmp_path / "rows", blacken=True, max_pixels=400
    )
    assert len(outcome.problems) == len(scores)
    assert "before the decision on the whole image" in outcome.problems["0"]
