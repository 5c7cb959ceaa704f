"""Every metric against scikit-learn, from masks to table; and figures of reports."""

import decimal

import numpy as np
import pytest
from sklearn import metrics as sklearn
from support import scored

from jaxseg.evaluation import count, metric_table
from jaxseg.evaluation.count import count_image
from jaxseg.evaluation.tally import merge
from jaxseg.metrics import overlap
from jaxseg.report import derived_numbers

SKLEARN = {
    "dice": sklearn.f1_score,
    "iou": sklearn.jaccard_score,
    "precision": sklearn.precision_score,
    "recall": sklearn.recall_score,
    "specificity": lambda t, g, **kw: sklearn.recall_score(~t, ~g, **kw),
    "accuracy": lambda t, g, zero_division: sklearn.accuracy_score(t, g),
    "balanced_accuracy": lambda t, g, zero_division: sklearn.balanced_accuracy_score(
        t, g
    ),
    "matthews": lambda t, g, zero_division: sklearn.matthews_corrcoef(t, g),
}


def _counted(pairs, k=2):
    """Tally of (mask, predicted class ids), through the same door as a model."""
    rows = []
    for i, (mask, guess) in enumerate(pairs):
        probability = np.eye(k, dtype=np.float32)[guess]
        image = np.zeros((*mask.shape, 1), np.uint8)
        facts = {"index": i, "num_classes": k, "name": str(i)}
        rows.append(count_image(probability, mask.astype(np.uint8), image, **facts))
    return merge(rows)


def _theirs(formula, pairs, c=1):
    """scikit-learn over the labelled pixels of the pairs; None where 0/0 or absent."""
    mask, guess = (
        np.concatenate([x.ravel() for x in xs]) for xs in zip(*pairs, strict=True)
    )
    truth, guess = mask[mask != 255] == c, guess[mask != 255] == c
    present = (~truth if formula == "specificity" else truth).any()
    if formula in ("balanced_accuracy", "matthews"):
        present &= not truth.all()
    if formula == "matthews":
        present &= guess.any() and not guess.all()
    if formula == "precision":
        present &= guess.any()
    if not present:
        return None
    return SKLEARN[formula](truth, guess, zero_division=0)


def _mean(name, pairs, c=1):
    """The mean over images that the name promises, image by image."""
    formula, _, family = name.partition("_")
    values = []
    for mask, guess in pairs:
        truth, guess = mask[mask != 255] == c, guess[mask != 255] == c
        empty = not truth.any() and not guess.any()
        left_out = {
            "kaggle": not truth.size,
            "positives": not truth.any(),
            "image_skip_empty": empty,
        }[family]
        if left_out or (formula == "specificity" and truth.all()):
            continue
        one = SKLEARN[formula](truth, guess, zero_division=0)
        values.append(1.0 if empty else one)
    absent = not any((m == c).any() for m, _ in pairs) and family != "kaggle"
    return None if absent or not values else np.mean(values)


def _agree(pairs, k=2):
    tally = _counted(pairs, k)
    for c in range(1, k):
        each = metric_table.of_class(tally, c)
        for name in overlap.METRICS:
            pooled = name in overlap.POOLED
            theirs = _theirs(name[:-7], pairs, c) if pooled else _mean(name, pairs, c)
            ours = overlap.value(name, each)
            if theirs is None:
                assert ours is None, (name, ours)
            else:
                assert ours == pytest.approx(theirs, abs=1e-12), name


@pytest.mark.parametrize("k", [2, 3, 5])
def test_random_masks(k):
    rng = np.random.default_rng(k)
    for _ in range(6):
        pairs = []
        for shape in ((6, 5), (1, 17), (4, 4), (1, 1), (9, 2)):
            mask = rng.integers(0, k, shape) * (rng.random() < 0.7)
            right = rng.random(shape) < 0.8
            guess = np.where(right, mask, rng.integers(0, k, shape))
            mask = np.where(rng.random(shape) < 0.1, 255, mask)
            pairs.append((mask, guess * (rng.random() < 0.8)))
        _agree(pairs, k)


EMPTY, FULL = np.zeros((4, 4), int), np.ones((4, 4), int)
PIXEL = np.eye(4, dtype=int)[:1].repeat(4, axis=0) * np.eye(4, dtype=int)
LINE = np.array([[0, 1, 1, 0, 0, 1, 0]])
UNLABELLED = np.full((3, 3), 255)


@pytest.mark.parametrize(
    "pairs",
    [
        [(EMPTY, EMPTY)],
        [(EMPTY, FULL)],
        [(FULL, EMPTY)],
        [(FULL, FULL)],
        [(PIXEL, PIXEL)],
        [(PIXEL, EMPTY)],
        [(EMPTY, PIXEL)],
        [(PIXEL, FULL)],
        [(EMPTY, EMPTY), (PIXEL, PIXEL), (EMPTY, PIXEL), (PIXEL, EMPTY)],
        [(FULL, FULL), (EMPTY, EMPTY)],
        [(LINE, 1 - LINE)],
        [(LINE, LINE), (LINE * 0, LINE)],
        [(np.where(PIXEL == 1, 255, 0), FULL)],  # the only foreground is not labelled
        [(np.where(EMPTY == 0, 1, 0) + 254 * PIXEL, FULL)],
        [(UNLABELLED, FULL[:3, :3]), (PIXEL, FULL)],
        [(np.array([[1]]), np.array([[1]])), (np.array([[0]]), np.array([[1]]))],
    ],
)
def test_degenerate_masks(pairs):
    _agree(pairs)
    _agree(pairs, k=3)  # class 2 is in neither


@pytest.mark.parametrize(
    "case", [(3, 5, 2, 9), (1, 0, 0, 1), (0, 7, 7, 1), (9, 1, 1, 0)]
)
@pytest.mark.parametrize("scale", [1, 2 * 10**8, 10**12])
def test_matthews_of_huge_counts(case, scale):
    """To 60 digits: the value, and what the bootstrap makes of it."""
    whole = [n * scale + (n > 3) for n in case]
    tp, fp, fn, tn = whole
    below = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    above = tp * tn - fp * fn
    with decimal.localcontext(prec=60):
        exact = float(decimal.Decimal(above) / decimal.Decimal(below).sqrt())
    parts = {
        n: np.array([x]) for n, x in zip(("tp", "fp", "fn", "tn"), whole, strict=True)
    }
    found = overlap.value("matthews_pooled", parts)
    assert found == pytest.approx(exact, rel=1e-15) and -1 <= found <= 1
    summed = overlap.terms("matthews_pooled", **parts)
    assert overlap.divide("matthews_pooled", summed)[0] == pytest.approx(
        exact, abs=1e-14
    )


def _of(tp, fp, fn, tn=0):
    one = {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
    parts = {key: np.array([n]) for key, n in one.items()}
    return {n.removesuffix("_pooled"): overlap.value(n, parts) for n in overlap.POOLED}


def test_second_crack_report():
    found = _of(1476, 5, 7, 207)
    assert found["precision"] == pytest.approx(0.996624, abs=5e-7)
    assert found["recall"] == pytest.approx(0.995280, abs=5e-7)
    assert found["dice"] == pytest.approx(0.9959514, abs=5e-8)
    assert 1 - found["specificity"] == pytest.approx(0.023585, abs=5e-7)
    first = _of(1480, 10, 3, 202)
    assert first["precision"] == pytest.approx(0.993289, abs=5e-7)
    assert first["recall"] == pytest.approx(0.997977, abs=5e-7)
    assert 1 - first["specificity"] == pytest.approx(0.047170, abs=5e-7)
    always = _of(1483, 212, 0)
    assert always["dice"] == pytest.approx(0.9332914, abs=5e-8)
    assert 1 - always["precision"] == pytest.approx(0.125074, abs=5e-7)


def test_bead_report():
    found = _of(8, 2, 4)
    known = {"iou": 0.571429, "precision": 0.8, "recall": 0.666667, "dice": 0.727273}
    assert {n: round(found[n], 6) for n in known} == known


@pytest.mark.parametrize(
    "iou, dice", [(0.2456, 0.394348), (0.115, 0.206278), (0.5, 0.666667)]
)
def test_dice_of_an_iou(iou, dice):
    tp = round(1e6 * iou)
    assert _of(tp, 10**6 - tp, 0)["dice"] == pytest.approx(dice, abs=5e-7)


def test_all_foreground_of_the_click_report():
    """Dice 0.4202 at a share of 0.266; and the share back from three rates."""
    found = _of(266, 734, 0)
    assert found["iou"] == 0.266 and round(found["dice"], 4) == 0.4202
    assert found["accuracy"] == 0.266 and found["balanced_accuracy"] == 0.5
    some = _of(200, 60, 66, 674)
    back = some["accuracy"] - some["specificity"]
    back /= some["recall"] - some["specificity"]
    assert back == pytest.approx(0.266, abs=1e-12)


def test_an_absent_class_of_the_covid_report_leaves_the_mean():
    iou = [0.9556, 0.6601, 0.5623]  # and a fourth class that no mask showed, as 1
    assert overlap.mean_of_present([*iou, None]) == pytest.approx(0.7260, abs=1e-12)
    assert overlap.mean_of_present([*iou, 1.0]) == pytest.approx(0.7945, abs=1e-12)
    dice = [2 * i / (1 + i) for i in iou]
    assert overlap.mean_of_present(dice) == pytest.approx(0.830795, abs=5e-7)
    assert overlap.mean_of_present([*dice, None]) == overlap.mean_of_present(dice)
    assert overlap.mean_of_present([*dice, 0.0]) == pytest.approx(0.623096, abs=5e-7)
    half = {n: np.zeros(1166, int) for n in ("tp", "fp")}
    half |= {"fn": np.repeat([0, 3], 583), "tn": np.repeat([9, 6], 583)}
    assert overlap.value("dice_kaggle", half) == 0.5  # always empty, half is empty


def test_class_weights_at_a_ratio_of_107_45():
    train = {"pixels": [10745, 100]}
    card = {"splits": {"train": train}, "classes": ["no", "yes"]}
    rows = derived_numbers.class_weights({"info": {"dataset": card}, "config": {}})
    expected = [row["expected"] for row in rows]
    assert expected == pytest.approx([0.504653, 54.225], rel=1e-6)
    ours = 209_715_200 - 2_083_861, 2_083_861
    assert ours[1] / sum(ours) == pytest.approx(0.0099366, abs=5e-8)
    assert ours[0] / ours[1] == pytest.approx(99.6378, abs=5e-5)


def test_a_class_without_value_is_said_to_leave_the_mean():
    """Present, never predicted: precision is 0/0, and the policy says so."""
    split, predictions = scored.make(6, k=3)
    for _, p in predictions:
        p[...] = np.eye(3, dtype=np.float32)[np.minimum(p.argmax(-1), 1)]
    tally = count.count_split(predictions, split, to_native=scored.keep)
    rows = metric_table.rows(tally, split.classes, split.groups, resamples=20)
    mean = {r["name"]: r for r in rows if r["class"] == metric_table.MEAN}
    some = {(r["name"], r["class"]): r for r in rows}
    precision = mean["precision_pooled"]
    assert some["precision_pooled", "other"]["value"] is None
    assert some["precision_pooled", "other"]["support_images"] > 0
    assert precision["value"] == some["precision_pooled", "object"]["value"]
    assert (
        "present in the truth, without 1 of them that are n/a;" in precision["policy"]
    )
    assert "present in the truth;" in mean["recall_pooled"]["policy"]
