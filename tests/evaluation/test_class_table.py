"""More than two classes in a result: each class by itself, loud where it is lost."""

import csv
import io
import json

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn import metrics as sklearn
from support import scored

from jaxseg.errors import ConfigError
from jaxseg.evaluation import (
    baselines,
    class_table,
    class_temperature,
    count,
    examples,
    kept_pixels,
    one_vs_rest,
    operating_point,
    result,
)
from jaxseg.evaluation.count import Frozen
from jaxseg.run_directory import schemas

K = 4


@pytest.fixture(scope="module")
def split():
    return scored.make(12, k=K)[0]


@pytest.fixture(scope="module")
def predictions():
    return scored.make(12, k=K)[1]


@pytest.fixture(scope="module")
def tally(split, predictions):
    return count.count_split(predictions, split, to_native=scored.keep)


@pytest.fixture(scope="module")
def pixels(split, predictions, tally):
    return kept_pixels.keep(predictions, tally, split, to_native=scored.keep)


def _flat(split, predictions):
    labels = [split[i]["mask"] for i, _ in predictions]
    labelled = [mask != 255 for mask in labels]
    label = np.concatenate([m[w] for m, w in zip(labels, labelled, strict=True)])
    each = zip(predictions, labelled, strict=True)
    return label, np.concatenate([p[w] for (_, p), w in each])


def test_a_row_of_every_class_from_its_pixels(split, predictions, tally):
    label, probability = _flat(split, predictions)
    answer = probability.argmax(-1)
    rows = class_table.rows(tally, split.classes)
    assert [row["class"] for row in rows] == list(split.classes)
    for c, row in enumerate(rows):
        truth, guess = label == c, answer == c
        assert row["dice"] == pytest.approx(sklearn.f1_score(truth, guess))
        assert row["iou"] == pytest.approx(sklearn.jaccard_score(truth, guess))
        assert row["precision"] == sklearn.precision_score(truth, guess)
        assert row["recall"] == sklearn.recall_score(truth, guess)
        assert row["support_pixels"] == truth.sum()
        assert row["predicted_pixels"] == guess.sum()
        assert row["support_images"] == (tally.truth[:, c] > 0).sum()
        assert row["never_predicted"] is False
    found = class_table.history(tally, split.classes)
    assert found["dice_pooled/other"] == rows[2]["dice"]
    assert found["truth_share/other"] == (label == 2).mean()
    assert found["predicted_share/background"] == (answer == 0).mean()
    assert found["never_predicted"] == 0


def test_a_class_is_never_predicted_only_where_it_has_support(split, predictions):
    ways = (Frozen((0.0, 0.0, -50.0, -50.0), None),)
    masks = [{**e, "mask": np.where(e["mask"] == 3, 0, e["mask"])} for e in split]
    other = scored.Split(masks, split.classes)
    (tally,) = count.count_ways(predictions, other, ways, to_native=scored.keep)
    rows = class_table.rows(tally, split.classes)
    assert [row["never_predicted"] for row in rows] == [False, False, True, False]
    assert rows[2]["dice"] == 0 and rows[2]["recall"] == 0
    assert rows[3]["dice"] is rows[3]["recall"] is None
    assert class_table.history(tally, split.classes)["never_predicted"] == 1


def test_curves_and_calibration_of_a_class_are_those_of_its_probability(
    split, predictions, tally
):
    label, probability = _flat(split, predictions)
    rows = one_vs_rest.pixel_curves(tally.pooled, tally.only_value, split.classes)
    blocks = one_vs_rest.reliability(tally.pooled, tally.only_value, split.classes)
    assert [row["class"] for row in rows] == list(split.classes[1:])
    for c, (row, block) in enumerate(zip(rows, blocks, strict=True), start=1):
        truth, score = label == c, probability[:, c].astype(np.float64)
        exact = sklearn.average_precision_score(truth, score)
        assert (
            abs(row["average_precision"] - exact)
            <= (row["average_precision_error_bound"])
        )
        assert (
            abs(row["roc_auc"] - sklearn.roc_auc_score(truth, score))
            <= (row["roc_auc_error_bound"])
        )
        assert row["support_pixels"] == len(label) and row["prevalence"] == truth.mean()
        brier = np.mean((score - truth) ** 2)
        found = block["pixel"]
        assert abs(found["brier"] - brier) <= found["brier_error_bound"]
        assert "probability of the class" in found["variant"]


def test_histograms_have_a_bound_on_classes_and_can_be_left_out(split, predictions):
    bare = count.count_split(
        predictions, split, to_native=scored.keep, class_histograms=False
    )
    assert bare.pooled.nbytes == 0 and not bare.has_class_histograms
    assert not one_vs_rest.nothing(one_vs_rest.MOST_CLASSES + 1, kept=True)[0].size
    assert one_vs_rest.pixel_curves(bare.pooled, bare.only_value, split.classes) == []
    assert class_temperature.assemble(bare, None, None, split) is None


def test_one_temperature_is_fitted_for_all_classes(split, predictions, pixels):
    label, probability = _flat(split, predictions)
    logit = np.log(probability.astype(np.float64))

    def nll(t):
        true = logit[np.arange(len(label)), label] / t
        return np.mean(logsumexp(logit / t, axis=1) - true)

    found = class_temperature.fit(pixels, scored.VALIDATION)
    assert found["nll_before"] == pytest.approx(nll(1.0), rel=1e-9)
    assert found["nll_after"] == pytest.approx(nll(found["value"]), rel=1e-9)
    assert all(
        nll(found["value"]) < nll(found["value"] * x) for x in (0.97, 0.99, 1.01, 1.03)
    )
    assert found["support_pixels"] == len(label) and not found["at_limit"]
    one = pixels._replace(label=pixels.label * 0)
    assert class_temperature.fit(one, scored.VALIDATION)["value"] is None


def test_softened_probabilities_are_counted_at_the_temperature(split, predictions):
    label, probability = _flat(split, predictions)
    logit = np.log(probability.astype(np.float64)) / 2.5
    softened = np.exp(logit - logsumexp(logit, axis=1, keepdims=True))
    ways = (Frozen(None, 2.5),)
    (tally,) = count.count_ways(predictions, split, ways, to_native=scored.keep)
    np.testing.assert_array_equal(
        tally.confusion.sum(axis=0),
        sklearn.confusion_matrix(label, probability.argmax(-1)),
    )
    blocks = one_vs_rest.reliability(tally.pooled, tally.only_value, split.classes)
    for c, block in enumerate(blocks, start=1):
        brier = np.mean((softened[:, c] - (label == c)) ** 2)
        assert block["pixel"]["brier"] == pytest.approx(brier, abs=2e-4)


def _assembled(split, predictions, tally, pixels, point):
    scaling = class_temperature.fit(pixels, scored.VALIDATION)
    way = Frozen(point["offsets"], scaling["value"])
    (at,) = count.count_ways(predictions, split, (way,), to_native=scored.keep)
    counted = at.__class__(**{**vars(tally), "confusion": at.confusion})
    decided = operating_point.apply(counted, point, split)
    scores = result.assemble(
        decided,
        baselines.rows(tally, None, split),
        split,
        step=1,
        resamples=5,
        scaling=scaling,
        argmax=tally,
        softened=at,
    )
    return scores, decided


POINT = {
    "rule": "offsets",
    "offsets": [0.0, 1.0, 0.5, -0.5],
    "objective": "dice_pooled",
}
POINT |= {"value": 0.5, "value_argmax": 0.4, "source_split": "validation"}
POINT |= {"split_hash": "v1"}


def test_a_result_shows_the_decision_and_argmax_beside_it(
    split, predictions, tally, pixels, tmp_path
):
    scores, decided = _assembled(split, predictions, tally, pixels, POINT)
    schemas.check(scores, schemas.Result, "test.json")
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores
    label, probability = _flat(split, predictions)
    answer = (np.log(probability.astype(np.float64)) + POINT["offsets"]).argmax(-1)
    matrix = sklearn.confusion_matrix(label, answer).tolist()
    assert scores["confusion"] == matrix
    plain = sklearn.confusion_matrix(label, probability.argmax(-1)).tolist()
    assert scores["argmax"]["confusion"] == plain != matrix
    assert scores["argmax"]["class_table"] == class_table.rows(tally, split.classes)
    rows = {(row["name"], row["class"]): row["value"] for row in scores["metrics"]}
    assert rows["dice_pooled", "other"] == scores["class_table"][2]["dice"]
    assert scores["operating_point"] == POINT | {"optimistic": False}
    assert [row["class"] for row in scores["curves"]["pixel_by_class"]] == [
        *split.classes[1:]
    ]
    after = scores["calibration"]["after_temperature"]["by_class"]
    before = scores["calibration"]["by_class"]
    assert [row["class"] for row in after] == [row["class"] for row in before]
    assert after[0]["pixel"]["nll"] != before[0]["pixel"]["nll"]
    assert scores["calibration"]["temperature"]["optimistic"] is False

    result.write_tables(tmp_path, decided, split)
    text = (tmp_path / "test_per_image.csv").read_text()
    table = list(csv.DictReader(io.StringIO(text)))
    for row, truth, predicted in zip(
        table, decided.tally.truth, decided.tally.predicted, strict=True
    ):
        assert [int(row[f"truth_pixels/{c}"]) for c in split.classes[1:]] == [
            *truth[1:]
        ]
        assert [int(row[f"predicted_pixels/{c}"]) for c in split.classes[1:]] == [
            *predicted[1:]
        ]
        dice = {c: row[f"dice/{c}"] for c in split.classes[1:]}
        for c, name in enumerate(split.classes[1:], start=1):
            assert (dice[name] == "") == (truth[c] + predicted[c] == 0)
        if truth[1:].any():
            shown = [c for c in (1, 2, 3) if truth[c]]
            worst = min(shown, key=lambda c: float(dice[split.classes[c]]))
            assert row["worst_class"] == split.classes[worst]
            assert row["worst_dice"] == dice[split.classes[worst]]
        else:
            assert row["worst_class"] == row["worst_dice"] == ""


def test_offsets_are_refused_on_their_images_under_another_name(tally):
    same = scored.Split([], hash="v1")
    with pytest.raises(ConfigError, match="offsets were chosen on .*same images"):
        operating_point.apply(tally, POINT, same)
    itself = operating_point.apply(tally, POINT, scored.VALIDATION)
    assert itself.point["optimistic"]
    two = count.count_split(*scored.make(2)[::-1], to_native=scored.keep)
    with pytest.raises(ConfigError, match="needed for 2 classes"):
        operating_point.apply(two, POINT, scored.TEST)


def test_images_to_show_go_by_their_worst_class(split, tally):
    shown = examples.choose(tally, split.ids, classes=split.classes)
    by_role = {
        role: [e["worst_dice"] for e in shown if e["role"] == role]
        for role in ("best", "median", "worst")
    }
    every = sorted(
        (d for d in class_table.per_image(tally, split.classes)["worst_dice"] if d),
        reverse=True,
    )
    assert by_role["best"] == every[: len(by_role["best"])]
    assert max(by_role["worst"]) <= min(by_role["median"])
    assert all(e["worst_class"] in split.classes for e in shown if e["role"] == "best")
    assert (
        "worst_dice"
        not in examples.choose(
            count.count_split(*scored.make(4)[::-1], to_native=scored.keep), split.ids
        )[0]
    )


def test_image_curves_are_undefined_where_every_image_is_positive():
    split, predictions = scored.make(12, k=3)
    kept = [i for i in range(12) if i % 4]
    split.examples = [split.examples[i] for i in kept]
    predictions = [(row, predictions[i][1]) for row, i in enumerate(kept)]
    tally = count.count_split(predictions, split, to_native=scored.keep)
    decided = operating_point.apply(tally, None, split)
    scores = result.assemble(decided, [], split, step=1, resamples=2)
    for name in ("image", "image_area"):
        curve = scores["curves"][name]
        assert curve["average_precision"] is curve["roc_auc"] is None
        assert curve["prevalence"] == 1 and curve["support_images"] == 9
    assert "argmax" not in scores and scores["operating_point"] is None
