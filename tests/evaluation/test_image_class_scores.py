"""Classes of whole images: chosen on validation, frozen, scored and written."""

import dataclasses

import numpy as np
import pytest
from scipy import optimize, special
from sklearn import metrics as sklearn

from jaxseg.errors import ConfigError, DataError
from jaxseg.evaluation import tally as tallies
from jaxseg.evaluation.image_classes import choose, pixel_free, resample, score
from jaxseg.run_directory import image_class_schemas, schemas

NAMES = ["normal", "covid", "other", "rare"]
M = len(NAMES)


@dataclasses.dataclass
class Split:
    """What scoring reads of a split."""

    name: str
    truth: np.ndarray
    image_classes_exclusive: bool = True
    image_class_names = NAMES
    classes = ("background", "lesion")

    def __post_init__(self):
        n = len(self.truth)
        self.hash = f"hash of {self.name}"
        self.ids = [f"{self.name}{i}" for i in range(n)]
        self.groups = [f"patient{i // 2}" for i in range(n)]
        self.image_classes, self.labels = self.truth, np.arange(n) % 2
        self.positive = self.labels > 0
        self.pixels = np.tile([90, 10], (n, 1)) * (self.labels[:, None] >= 0)
        self.sizes = np.tile([11, 10], (n, 1))


def made(name, seed=0, *, n=60, exclusive=True, sharp=1.5):
    """(split, tally) of probabilities that are better than chance."""
    rng = np.random.default_rng(seed)
    if exclusive:
        label = rng.choice(M, n, p=[0.4, 0.3, 0.2, 0.1])
        truth = np.eye(M, dtype=np.int8)[label]
        z = sharp * (rng.normal(size=(n, M)) + np.eye(M)[label])
        p = special.softmax(z, axis=1)
        truth[::9] = -1
    else:
        truth = (rng.random((n, M)) < 0.4).astype(np.int8)
        p = special.expit(sharp * (rng.normal(size=(n, M)) + truth - 0.5))
        truth[rng.random((n, M)) < 0.1] = -1
    split = Split(name, truth, exclusive)
    return split, tally_of(split, p)


def tally_of(split, p):
    index = np.arange(len(p))
    return tallies.without_pixels(index, split.labels, p, split.truth, num_classes=2)


def frozen_of(exclusive=True):
    split, tally = made("validation", 1, exclusive=exclusive)
    return choose.choose(tally, split)


def named(rows):
    return {row["name"]: row for row in rows}


@pytest.mark.parametrize("exclusive", [True, False])
def test_what_is_frozen_is_the_best_of_validation(exclusive):
    split, tally = made("validation", 1, exclusive=exclusive)
    frozen = choose.choose(tally, split)
    schemas.check(frozen, image_class_schemas.ImageClassChoice, "a file")
    assert (frozen["names"], frozen["exclusive"]) == (NAMES, exclusive)
    assert frozen["source_split"] == "validation"
    p = tally.class_probability.astype(np.float64)
    for c, row in enumerate(frozen["classes"]):
        known = split.truth[:, c] >= 0
        label, s = split.truth[known, c], p[known, c]
        best = max(sklearn.f1_score(label, s >= t) for t in s)
        assert row["value"] == pytest.approx(best, abs=1e-12)
        yes = s >= row["threshold"]
        assert sklearn.f1_score(label, yes) == pytest.approx(best, abs=1e-12)
    fitted = frozen["temperature"]

    def log_loss(t):
        soft = choose.soften(p, t, exclusive=exclusive)
        if exclusive:
            known = split.truth.max(1) == 1
            right = split.truth[known].argmax(1)
            return sklearn.log_loss(right, soft[known], labels=range(M))
        known = split.truth >= 0
        return sklearn.log_loss(split.truth[known], soft[known])

    want = optimize.minimize_scalar(log_loss, bounds=(0.2, 10), method="bounded")
    assert fitted["value"] == pytest.approx(want.x, rel=1e-3)
    assert fitted["log_loss_before"] == pytest.approx(log_loss(1.0), abs=1e-9)
    assert fitted["log_loss_after"] == pytest.approx(want.fun, abs=1e-7)
    assert fitted["log_loss_after"] < fitted["log_loss_before"]


def test_softening_changes_no_most_probable_class():
    _, tally = made("test")
    p = tally.class_probability
    for t in (0.3, 1.0, 4.0):
        soft = choose.soften(p, t, exclusive=True)
        assert (soft.argmax(1) == p.argmax(1)).all()
        np.testing.assert_allclose(soft.sum(1), 1)
    np.testing.assert_allclose(choose.soften(p, 1.0, exclusive=True), p, rtol=1e-5)
    np.testing.assert_allclose(choose.soften(p, 1.0, exclusive=False), p, rtol=1e-5)


def test_the_block_of_exclusive_classes():
    split, tally = made("test")
    frozen = frozen_of()
    block = score.assemble(tally, frozen, split, resamples=200)
    schemas.check(block, image_class_schemas.ImageClassResult, "a file")
    known = split.truth.max(1) == 1
    assert block["images"] == known.sum() == 60 - 7
    assert block["unknown"] == [7] * M
    right, p = split.truth[known].argmax(1), tally.class_probability[known]
    answer = p.argmax(1)
    want = sklearn.confusion_matrix(right, answer, labels=range(M))
    np.testing.assert_array_equal(block["confusion"], want)
    means = named(block["means"])
    assert means["accuracy"]["value"] == sklearn.accuracy_score(right, answer)
    assert means["f1_macro"]["value"] == pytest.approx(
        sklearn.f1_score(right, answer, average="macro"), abs=1e-12
    )
    auc = sklearn.roc_auc_score(right, p / p.sum(1, keepdims=True), multi_class="ovr")
    assert means["roc_auc_mean"]["value"] == pytest.approx(auc, abs=1e-6)
    for row in block["means"]:
        assert row["low"] <= row["value"] <= row["high"] and row["low"] < row["high"]
        assert row["support_classes"] == M and row["support_images"] == known.sum()
    assert "4 of 4 classes" in means["roc_auc_mean"]["policy"]
    majority = named(block["baselines"])["majority_class"]
    assert majority["metrics"]["accuracy"] == np.bincount(right).max() / len(right)
    assert majority["metrics"]["balanced_accuracy"] == 1 / M
    assert NAMES[np.bincount(right).argmax()] in majority["detail"]


@pytest.mark.parametrize("exclusive", [True, False])
def test_each_class_is_scored_at_its_own_frozen_threshold(exclusive):
    split, tally = made("test", exclusive=exclusive)
    frozen = frozen_of(exclusive)
    block = score.assemble(tally, frozen, split, resamples=50)
    for c, row in enumerate(block["classes"]):
        known = split.truth[:, c] >= 0
        label, s = split.truth[known, c], tally.class_probability[known, c]
        cut = frozen["classes"][c]["threshold"]
        assert (row["threshold"], row["source_split"]) == (cut, "validation")
        assert not row["optimistic"]
        yes = s.astype(float) >= cut
        tn, fp, fn, tp = sklearn.confusion_matrix(label, yes).ravel().tolist()
        assert row["counts"] == {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
        metrics = named(row["metrics"])
        assert [*metrics] == [
            "roc_auc",
            "average_precision",
            "sensitivity",
            "specificity",
            "precision",
            "f1",
        ]
        assert metrics["roc_auc"]["value"] == pytest.approx(
            sklearn.roc_auc_score(label, s), abs=1e-12
        )
        assert metrics["average_precision"]["value"] == pytest.approx(
            sklearn.average_precision_score(label, s), abs=1e-12
        )
        assert metrics["sensitivity"]["value"] == tp / (tp + fn)
        assert metrics["sensitivity"]["support_images"] == tp + fn
        for one in metrics.values():
            assert one["low"] <= one["value"] <= one["high"]
        shows = {"shows": tp + fn, "not": tn + fp, "unknown": int((~known).sum())}
        assert row["support"] == shows
        constant = block["baselines"][0]["classes"][row["name"]]
        assert constant["average_precision"] == pytest.approx(label.mean())
    assert (block["confusion"] is None) == (not exclusive)
    names = [row["name"] for row in block["baselines"]]
    assert names == ["always_positive"] + ["majority_class"] * exclusive
    if not exclusive:
        f1 = [named(row["metrics"])["f1"]["value"] for row in block["classes"]]
        macro = named(block["means"])["f1_macro"]["value"]
        assert macro == pytest.approx(np.mean(f1), abs=1e-12)
        assert "accuracy" not in named(block["means"])


def test_an_absent_class_is_not_applicable_and_leaves_the_mean():
    split, tally = made("test")
    shown = split.truth[:, 3] != 1
    split = Split("test", split.truth[shown])
    tally = tally_of(split, tally.class_probability[shown])
    block = score.assemble(tally, frozen_of(), split, resamples=50)
    schemas.check(block, image_class_schemas.ImageClassResult, "a file")
    row = block["classes"][3]
    assert row["support"]["shows"] == 0
    values = {m["name"]: m["value"] for m in row["metrics"]}
    assert values["roc_auc"] is values["f1"] is values["sensitivity"] is None
    assert values["specificity"] is not None  # of the others there is a rate
    means = named(block["means"])
    each = [named(r["metrics"])["roc_auc"]["value"] for r in block["classes"][:3]]
    assert means["roc_auc_mean"]["value"] == pytest.approx(np.mean(each), abs=1e-12)
    assert means["roc_auc_mean"]["support_classes"] == 3
    assert "3 of 4 classes" in means["roc_auc_mean"]["policy"]
    assert means["f1_macro"]["support_classes"] == 3
    assert block["curves"][3] == {"name": "rare", "roc": [], "pr": []}


def test_a_class_that_validation_lacks_has_no_threshold(caplog):
    split, tally = made("validation", 1)
    shown = split.truth[:, 3] != 1
    split = Split("validation", split.truth[shown])
    frozen = choose.choose(tally_of(split, tally.class_probability[shown]), split)
    assert frozen["classes"][3] == {"name": "rare", "threshold": None, "value": None}
    assert "one kind in rare: no threshold" in caplog.text
    test, tally = made("test")
    block = score.assemble(tally, frozen, test, resamples=20)
    row = block["classes"][3]
    assert row["counts"] is None and row["threshold"] is None
    values = {m["name"]: m["value"] for m in row["metrics"]}
    assert values["roc_auc"] is not None and values["f1"] is None


def test_where_nothing_is_known_nothing_is_claimed():
    split, tally = made("validation", 1)
    split = Split("validation", np.full_like(split.truth, -1))
    tally = tally_of(split, tally.class_probability)
    frozen = choose.choose(tally, split)
    assert frozen["temperature"]["value"] is None
    block = score.assemble(tally, frozen, split, resamples=20)
    schemas.check(block, image_class_schemas.ImageClassResult, "a file")
    assert block["images"] == 0
    assert all(row["value"] is None for row in block["means"])
    assert block["calibration"]["after"] is None
    assert block["calibration"]["before"]["support"] == 0


def test_thresholds_of_these_very_images_are_said_to_be():
    split, tally = made("validation", 1)
    block = score.assemble(tally, frozen_of(), split, resamples=20)
    assert all(row["optimistic"] for row in block["classes"])
    assert block["calibration"]["optimistic"]
    split.name = "test"
    with pytest.raises(ConfigError, match="would be optimistic"):
        score.assemble(tally, frozen_of(), split, resamples=20)


def test_calibration_stands_before_and_after_the_frozen_temperature():
    split, tally = made("test", sharp=4.0)  # too sure of itself
    chosen, other = made("validation", 1, sharp=4.0)
    frozen = choose.choose(other, chosen)
    block = score.assemble(tally, frozen, split, resamples=20)["calibration"]
    assert block["temperature"] == frozen["temperature"]["value"] > 1.5
    assert block["after"]["log_loss"] < block["before"]["log_loss"]
    assert block["after"]["ece"] < block["before"]["ece"]
    known = split.truth.max(1) == 1
    assert block["after"]["support"] == known.sum()


def test_a_draw_of_every_image_once_is_the_split(monkeypatch):
    for exclusive in (True, False):
        split, tally = made("test", exclusive=exclusive)
        frozen = frozen_of(exclusive)

        def once(groups, *, seed, resamples):
            yield np.ones((2, groups), np.int64)

        monkeypatch.setattr(resample.bootstrap, "draws", once)
        block = score.assemble(tally, frozen, split)
        rows = [*block["means"]]
        for row in block["classes"]:
            of_draws = ("roc_auc", "average_precision", "f1")
            rows += [m for m in row["metrics"] if m["name"] in of_draws]
        assert len(rows) == M * 3 + (5 if exclusive else 3)
        for row in rows:
            assert row["low"] == pytest.approx(row["value"], abs=1e-12), row
            assert row["high"] == pytest.approx(row["value"], abs=1e-12), row


def test_images_of_one_group_give_no_interval():
    split, tally = made("test")
    split.groups = ["one"] * len(split.groups)
    block = score.assemble(tally, frozen_of(), split, resamples=20)
    assert all(row["low"] is None for row in block["means"])
    assert block["means"][0]["value"] is not None


def test_columns_say_what_is_true_and_what_is_decided():
    split, tally = made("test")
    columns = score.columns(tally, frozen_of())
    assert len(columns) == 3 * M
    p = tally.class_probability
    assert columns["class_covid"] == p[:, 1].tolist()
    assert columns["class_covid_truth"][0] is None
    assert columns["class_covid_decided"] == (p.argmax(1) == 1).astype(int).tolist()
    frozen = frozen_of(exclusive=False)
    split, tally = made("test", exclusive=False)
    frozen["classes"][2]["threshold"] = None
    columns = score.columns(tally, frozen)
    cut = frozen["classes"][0]["threshold"]
    yes = tally.class_probability[:, 0].astype(float) >= cut
    assert columns["class_normal_decided"] == yes.astype(int).tolist()
    assert set(columns["class_other_decided"]) == {None}
    assert score.columns(tally, None) == {}


def test_tallies_of_several_processes_are_those_of_one():
    split, tally = made("test", n=11)
    parts = [
        tallies.without_pixels(
            i,
            split.labels[i],
            tally.class_probability[i],
            split.truth[i],
            num_classes=2,
        )
        for i in (
            np.array([7, 2, 10]),
            np.array([0, 1, 3, 4, 5, 6, 8, 9]),
            np.arange(0),
        )
    ]
    joined = tallies.merge(parts)
    for name in tallies.ROWS:
        np.testing.assert_array_equal(getattr(joined, name), getattr(tally, name))


def test_a_run_without_pixels_has_facts_of_the_truth_alone(tmp_path):
    split, tally = made("test", n=12)
    frozen = {"step": 3, "operating_point": None, "image_classes": frozen_of()}
    options = {"step": 3, "seed": 0, "resamples": 20}
    (tmp_path / "eval").mkdir()
    scores = pixel_free.score(tmp_path, tally, frozen, split, **options)
    assert scores["pixels_trained"] is False and scores["operating_point"] is None
    assert scores["metrics"] == scores["baselines"] == [] and scores["curves"] == {}
    assert (scores["pixels"], scores["ignored_pixels"]) == (1200, 120)
    assert scores["positive_images"] == 6
    schemas.check(scores, schemas.Result, "a file")
    table = (tmp_path / "eval/test_per_image.csv").read_text().splitlines()
    assert table[0].startswith("id,group,positive,truth_pixels,predicted_pixels,class_")
    assert table[1].startswith("test0,patient0,0,10,,0.")
    with pytest.raises(DataError, match="1 of 12 images were not scored"):
        few = tally_of(Split("test", split.truth[:11]), tally.class_probability[:11])
        pixel_free.result(few, split, step=3)
