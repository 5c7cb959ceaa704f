"""Claims turn when their numbers turn, and carry them."""

import pytest

from jaxseg.report import derived_numbers, page
from jaxseg.report.run import (
    build,
    claims,
    class_claims,
    data_card,
    sections,
    tables,
)


def _one(claims):
    (claim,) = claims
    return claim


def _metric(run, name, split="test"):
    rows = run["splits"][split]["result"]["metrics"]
    return next(r for r in rows if r["name"] == name)


@pytest.mark.parametrize(
    ("value", "low", "answer", "words"),
    [
        (0.71, 0.65, "yes", "is above every trivial baseline"),
        (0.71, 0.05, "unclear", "not by its whole interval"),
        (0.03, 0.01, "no", "is NOT above every trivial baseline"),
    ],
)
def test_the_verdict_turns_with_the_numbers(run, undrawn, value, low, answer, words):
    _metric(run, "dice_positives").update(value=value, low=low, high=0.77)
    for base in run["splits"]["test"]["result"]["baselines"]:
        base["metrics"]["dice_positives"] = 0.0
    bases = run["splits"]["test"]["result"]["baselines"]
    bases[2]["metrics"]["dice_positives"] = 0.08
    claim = claims.verdict(run)
    assert claim["answer"] == answer and words in claim["text"]
    assert f"{value:.3f} [{low:.3f}, 0.770]" in claim["text"]
    assert "against 0.080 (best grey threshold)" in claim["text"]
    support = _metric(run, "dice_positives")["support_images"]
    assert f"(test, {support} images with foreground)" in claim["text"]
    assert claim["text"] in page.render(build.content(run), "md")


def test_without_baselines_nothing_is_claimed(run):
    run["splits"]["test"]["result"]["baselines"] = []
    assert claims.verdict(run)["answer"] == "unclear"
    assert list(claims.above_baselines(run, run["splits"]["test"])) == []


def test_average_precision_must_pass_prevalence_by_more_than_its_error(run):
    split = run["splits"]["test"]
    curve = split["result"]["curves"]["pixel"]
    curve.update(average_precision=0.3, prevalence=0.1)
    assert _one(claims.above_prevalence(split))["answer"] == "yes"
    curve.update(average_precision_error_bound=0.25)
    claim = _one(claims.above_prevalence(split))
    assert claim["answer"] == "no" and "NOT better" in claim["text"]


def test_detection_counts_images(run):
    split = run["splits"]["test"]
    images = derived_numbers.confusion(split)
    claim = _one(claims.detection(split))
    assert claim["answer"] == "yes"
    assert f": {images['hit']} of {images['hit'] + images['missed']}" in claim["text"]
    for row in split["images"]:
        row["predicted_pixels"] = 1.0
    assert _one(claims.detection(split))["answer"] == "no"


def test_an_operating_point_from_the_same_images_is_optimistic(run, undrawn):
    split = run["splits"]["test"]
    assert _one(claims.operating_point(run, split))["answer"] == "yes"
    point = split["result"]["operating_point"]
    point["split_hash"] = split["result"]["split_hash"]
    assert _one(claims.operating_point(run, split))["answer"] == "no"
    assert "**Test (optimistic)**" in page.render(build.content(run), "md")
    point["split_hash"] = None
    assert _one(claims.operating_point(run, split))["answer"] == "unclear"


@pytest.mark.parametrize(
    ("high", "answer"), [(0.9, "yes"), (0.65, "unclear"), (0.5, "no")]
)
def test_transfer_compares_intervals(run, high, answer):
    _metric(run, "dice_positives", "validation").update(value=0.7, low=0.6, high=0.8)
    _metric(run, "dice_positives").update(value=0.45, low=0.4, high=high)
    assert _one(claims.transfer(run))["answer"] == answer


def test_convergence_and_overfitting_follow_the_history(run):
    rows = run["history"]
    for row in rows:
        row["validation/dice_positives"] = 0.5
        row["dice_positives"] = 0.52
    rows[4]["validation/dice_positives"] = 0.6
    assert _one(claims.convergence(run))["answer"] == "yes"
    assert _one(claims.overfitting(run))["answer"] == "yes"
    rows[4]["dice_positives"] = 0.7
    assert "IS ahead" in _one(claims.overfitting(run))["text"]
    rows[-1]["validation/dice_positives"] = 0.61  # late: one epoch does not decide
    claim = _one(claims.convergence(run))
    assert claim["answer"] == "unclear" and "neither a sure rise nor" in claim["text"]
    for row in rows[16:-1]:
        row["validation/dice_positives"] = 0.609
    claim = _one(claims.convergence(run))
    assert claim["answer"] == "yes" and "0.610 in epoch 24 of 24" in claim["text"]
    assert "no longer improves in its last third" in claim["text"]
    assert "it rises by less than 5.0 % of the best" in claim["text"]
    for i, row in enumerate(rows[16:]):
        row["validation/dice_positives"] = 0.6 + 0.01 * i
    claim = _one(claims.convergence(run))
    assert claim["answer"] == "no" and "still improves in its last" in claim["text"]
    assert "(+0.07 over it" in claim["text"]
    for row in rows[18:-1]:
        row["validation/dice_positives"] = None
    claim = _one(claims.convergence(run))
    assert claim["answer"] == "unclear" and "3 validations there" in claim["text"]


def test_sampling_fails_when_one_epoch_is_off(run):
    assert _one(claims.sampling(run))["answer"] == "yes"
    run["history"][3]["share_realised"] += 0.05
    claim = _one(claims.sampling(run))
    assert claim["answer"] == "no" and "did NOT" in claim["text"]


@pytest.mark.parametrize("place", ["config", "info"])
def test_the_natural_share_is_no_promise(run, place):
    """An epoch is cut from a stream of permutations: its share is that of the cut."""
    run["history"][3]["share_realised"] += 0.05
    for where in ("config", "info"):
        run[where]["sampler"] = None
    run[place]["sampler"] = {"name": "uniform"}
    assert list(claims.sampling(run)) == []
    run[place]["sampler"] = {"name": "balanced"}
    assert _one(claims.sampling(run))["answer"] == "no"


def test_a_neighbour_is_a_baseline_as_the_others_are(run, undrawn):
    _metric(run, "dice_positives").update(value=0.5, low=0.45, high=0.55)
    bases = {b["name"]: b for b in run["splits"]["test"]["result"]["baselines"]}
    bases["nearest_training_image"]["metrics"]["dice_positives"] = 0.6
    claim = claims.verdict(run)
    assert claim["answer"] == "no"
    assert "against 0.600 (mask of the nearest training image)" in claim["text"]
    words = page.render(build.content(run), "md")
    assert "| best grey threshold | mask of the nearest training image | Sup" in words


def test_weights_fail_when_pixels_change(run):
    assert _one(claims.weights(run))["answer"] == "yes"
    run["info"]["dataset"]["splits"]["train"]["pixels"][1] *= 2
    assert _one(claims.weights(run))["answer"] == "no"


def test_the_weights_that_are_shown_are_those_that_were_used(run):
    """The data card stores weights of its own, which no loss has to take."""
    run["config"]["loss"]["cross_entropy"]["class_weights"] = [0.5, 10]
    del run["info"]["class_weights"]  # of an older run: the config gives the numbers
    for recorded in (None, {"cross_entropy": [0.5, 10.0]}):
        if recorded:
            run["info"]["class_weights"] = recorded
        block = data_card.class_weights(run)
        assert block["heads"][-1] == "Weight in `cross_entropy`"
        assert [row[-1]["main"] for row in block["rows"]] == ["0.500", "10.000"]
        assert "cross_entropy by 0.5, 10" in block["note"]
        assert list(claims.weights(run)) == []
    run["config"]["loss"]["cross_entropy"]["class_weights"] = "sqrt"
    del run["info"]["class_weights"]
    block = data_card.class_weights(run)
    assert block["heads"][-1] == "Share" and "numbers not recorded" in block["note"]
    run["config"]["loss"]["cross_entropy"]["class_weights"] = None
    assert "No loss of the run weighs" in data_card.class_weights(run)["note"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dice_kaggle", "30 images, 10 with foreground"),
        ("dice_pooled", "30 images, 10 with foreground"),
        ("dice_positives", "10 images with foreground"),
        ("dice_image_skip_empty", "images with foreground in truth or prediction"),
    ],
)
def test_support_says_which_images_a_metric_counts(run, name, words):
    split = run["splits"]["test"]
    rows = derived_numbers.foreground_rows(split)
    row = next(r for r in rows if r["name"] == name)
    assert tables.support(split, row).endswith(words)


def test_one_kind_of_pixels_or_images_cannot_be_ranked(run):
    """Any order of them is perfect: an average precision of 1 at a prevalence of 1."""
    split = run["splits"]["test"]
    for curve in split["result"]["curves"].values():
        curve.update(average_precision=1.0, prevalence=1.0)
    assert list(claims.above_prevalence(split)) == []
    assert "Average precision" not in [card.name for card in sections.cards(run)]
    cells = tables.image_curves(run)["rows"][0]
    assert [cell["main"] for cell in cells[1:3]] == ["n/a", "1.000"]


def test_integrity_sees_lost_steps_and_other_splits(run):
    assert {c["answer"] for c in claims.integrity(run)} == {"yes"}
    run["info"]["skipped_steps"] = 3
    run["info"]["dataset"]["split_hash"]["test"] = "another"
    failed = [c["text"] for c in claims.integrity(run) if c["answer"] == "no"]
    assert any("3 steps" in words for words in failed)
    assert any("is NOT the one" in words for words in failed)


def test_one_image_with_foreground_decides_nothing(run):
    split = run["splits"]["test"]
    split["result"]["positive_images"] = 1
    metric = _metric(run, "dice_positives")
    metric.update(value=0.006, low=0.0059, high=0.024, support_images=1)
    for base in split["result"]["baselines"]:
        base["metrics"]["dice_positives"] = 0.0058
    claim = claims.verdict(run)
    assert claim["answer"] == "unclear"
    assert "one image decides nothing: 0.006 [0.0059, 0.024]" in claim["text"]


def test_accuracy_is_supported_by_every_labelled_pixel(run):
    split = run["splits"]["test"]
    metric = _metric(run, "dice_pooled")
    split["result"]["metrics"].append(metric | {"name": "accuracy_pooled"})
    table = tables.metrics(run, split)
    support = {row[0]["sub"].split("`")[1]: row[-1]["sub"] for row in table["rows"]}
    every = f"{split['result']['pixels']:,} pixels"
    assert support["accuracy_pooled"] == every != support["recall_pooled"]


def test_an_early_stop_is_told_where_training_stands_open(run, undrawn):
    run["info"]["early_stop"] = {"words": "stopped early after step 40 of 100: why"}
    words = page.render(build.content(run), "md")
    opened = words.split("## Training\n")[1].split("\n## ")[0]
    assert "Training stopped early after step 40 of 100: why." in opened


def test_a_sentence_of_classes_says_which_hold_and_which_do_not():
    each = {"a": ("yes", "0.9"), "b": ("no", "0.4"), "c": ("yes", "0.8")}
    (claim,) = class_claims.in_each("They are ranked", {"no": "NOT better"}, each)
    words = "They are ranked in 2 of 3 classes (`a`, `c`); NOT better: `b` 0.4."
    assert claim == {"answer": "no", "text": words}
