"""Whole images: the decision and the segmentation, at thresholds of validation."""

import json

import numpy as np
import pytest
from sklearn import metrics as sklearn
from support import decided, scored

from jaxseg.errors import ConfigError
from jaxseg.evaluation import examples, image_level
from jaxseg.metrics import classification
from jaxseg.run_directory import image_schemas, schemas

WRONG = ("decision_false_positive", "decision_false_negative")


@pytest.fixture(scope="module")
def both():
    """(split, tally, what validation chose) of a model with a head."""
    chosen = decided.tally_of(*decided.make(seed=5, noise=0.4))
    split, predictions, scores = decided.make(seed=1)
    frozen = image_level.choose(chosen, scored.VALIDATION)
    return split, decided.tally_of(split, predictions, scores), frozen


def _by_name(row):
    return {metric["name"]: metric for metric in row["metrics"]}


def test_truth_is_the_label_then_the_mask(both):
    split, tally, _ = both
    labels = [example["label"] for example in split.examples]
    assert tally.shows.tolist() == labels and labels[-1] == -1
    split.examples[1]["label"] = -1  # its mask still says so
    again = decided.tally_of(split, decided.make(seed=1)[1], None)
    split.examples[1]["label"] = labels[1]
    assert again.shows.tolist() == labels and again.pixels[1] > 0


def test_scores_are_those_of_scikit_learn(both):
    split, tally, frozen = both
    block = image_level.assemble(tally, frozen, split, resamples=30)
    known = tally.shows >= 0
    truth = tally.shows[known] > 0
    assert (block["images"], block["unknown"]) == (39, 1)
    assert block["positives"] == truth.sum() and block["without_mask"] > 3
    assert [row["score"] for row in block["scores"]] == ["decision", "segmentation"]
    for row, score in zip(
        block["scores"], (tally.image_score, tally.max_probability), strict=True
    ):
        values = _by_name(row)
        auc = sklearn.roc_auc_score(truth, score[known])
        assert values["roc_auc"]["value"] == pytest.approx(auc, rel=1e-12)
        ap = sklearn.average_precision_score(truth, score[known])
        assert values["average_precision"]["value"] == pytest.approx(ap, rel=1e-12)
        yes = score[known] >= row["threshold"]
        f1 = sklearn.f1_score(truth, yes)
        assert values["f1"]["value"] == pytest.approx(f1, rel=1e-12)
        tn, fp, fn, tp = sklearn.confusion_matrix(truth, yes).ravel().tolist()
        assert row["counts"] == {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
        assert values["specificity"]["support_images"] == tn + fp
        for name in ("roc_auc", "average_precision", "f1"):
            metric = values[name]
            assert metric["low"] <= metric["value"] <= metric["high"]
    schemas.check(json.loads(json.dumps(block)), image_schemas.ImageLevel, "test")


def test_images_without_a_mask_are_scored_by_all_of_their_pixels(both):
    split, tally, _ = both
    predictions = decided.make(seed=1)[1]
    without = np.flatnonzero(tally.pixels == 0)
    assert len(without) == 5
    for i in without:
        assert tally.max_probability[i] == predictions[i][1][..., 1].max()


def test_the_threshold_is_that_of_validation_and_the_other_says_so(both):
    split, tally, frozen = both
    chosen = decided.tally_of(*decided.make(seed=5, noise=0.4))
    best = classification.ranking(chosen.image_score, chosen.shows)
    assert frozen["threshold"] == best["best_f1_threshold"]
    row = image_level.assemble(tally, frozen, split, resamples=5)["scores"][0]
    assert row["threshold"] == frozen["threshold"] and not row["optimistic"]
    here = row["on_these_images"]
    assert here["threshold"] != row["threshold"] and "optimistic" in here["detail"]
    assert here["f1"] > _by_name(row)["f1"]["value"]
    as_itself = decided.renamed(split, name="validation", hash="v1")
    block = image_level.assemble(tally, frozen, as_itself, resamples=5)
    assert all(row["optimistic"] for row in block["scores"])
    other_name = decided.renamed(split, hash="v1")
    with pytest.raises(ConfigError, match="image threshold was set on 'validation'"):
        image_level.assemble(tally, frozen, other_name)


def test_the_gain_is_paired(both):
    """The same scores twice differ by nothing, on every resample."""
    split, tally, frozen = both
    gain = image_level.assemble(tally, frozen, split, resamples=50)["gain"]
    names = [row["name"] for row in gain]
    assert names == [*classification.RANKING, "f1"]
    same = decided.tally_of(
        split, decided.make(seed=1)[1], tally.max_probability.astype(np.float32)
    )
    equal = image_level.choose(same, scored.VALIDATION)
    for row in image_level.assemble(same, equal, split, resamples=50)["gain"]:
        assert row["value"] == row["low"] == row["high"] == 0 and row["p"] == 1


def test_always_positive_stands_beside(both):
    split, tally, frozen = both
    (row,) = image_level.assemble(tally, frozen, split, resamples=5)["baselines"]
    share = (tally.shows > 0).sum() / 39
    assert row["metrics"]["average_precision"] == pytest.approx(share)
    assert row["metrics"]["f1"] == pytest.approx(2 * share / (1 + share))
    assert row["metrics"]["roc_auc"] == 0.5 and row["counts"]["fn"] == 0


def test_without_a_head_the_segmentation_alone_is_scored():
    split, predictions, _ = decided.make(seed=1)
    tally = decided.tally_of(split, predictions, None)
    frozen = image_level.choose(tally, scored.VALIDATION)
    assert frozen["score"] == "segmentation"
    block = image_level.assemble(tally, frozen, split, resamples=5)
    assert [row["score"] for row in block["scores"]] == ["segmentation"]
    assert block["gain"] == [] and image_level.columns(tally, frozen) == {}
    assert image_level.history(tally) == {}


@pytest.mark.parametrize("label", [0, 1])
def test_images_of_one_kind_have_no_image_level(label):
    split, predictions, scores = decided.make(12)
    for example in split.examples:
        example["label"] = label
    tally = decided.tally_of(split, predictions, scores)
    frozen = image_level.choose(tally, scored.VALIDATION)
    assert frozen["threshold"] is None and frozen["value"] is None
    assert image_level.assemble(tally, frozen, split) is None


def test_wrong_decisions_are_shown_first_the_surest_before_others():
    split, predictions, scores = decided.make(seed=1, noise=0.8)
    tally = decided.tally_of(split, predictions, scores)
    chosen = examples.choose(tally, split.ids, image_threshold=0.5)
    score, truth = tally.image_score, tally.shows
    by_role = {role: [e for e in chosen if e["role"] == role] for role in WRONG}
    assert [e["role"] for e in chosen[:6]] == [WRONG[0]] * 3 + [WRONG[1]] * 3
    high, low = (np.sort(score[truth == kind]) for kind in (0, 1))
    assert [e["image_score"] for e in by_role[WRONG[0]]] == high[:-4:-1].tolist()
    assert [e["image_score"] for e in by_role[WRONG[1]]] == low[:3].tolist()
    assert high[-3] >= 0.5 > low[2]
    assert len({e["index"] for e in chosen}) == len(chosen)
    others = {e["index"] for e in chosen[6:]}
    assert not others & set(np.flatnonzero(tally.pixels == 0).tolist())
    plain = examples.choose(tally, split.ids)
    assert not any(e["role"] in WRONG for e in plain) and "image_score" in plain[0]


def test_columns_of_every_image(both):
    split, tally, frozen = both
    columns = image_level.columns(tally, frozen)
    assert columns["image_positive"] == [
        None if e["label"] < 0 else int(e["label"] > 0) for e in split.examples
    ]
    assert columns["image_score"] == tally.image_score.tolist()
    counts = image_level.assemble(tally, frozen, split, resamples=5)["scores"][0]
    yes = sum(
        y
        for y, t in zip(
            columns["image_decision"], columns["image_positive"], strict=True
        )
        if t is not None
    )
    assert yes == counts["counts"]["tp"] + counts["counts"]["fp"]
