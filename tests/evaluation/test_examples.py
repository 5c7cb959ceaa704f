"""The images a report shows, and that its pictures are what was counted."""

import cv2
import numpy as np
import pytest
from support import scored

from jaxseg.evaluation import count, examples, metric_table
from jaxseg.evaluation import tally as tallies


def _read(content):
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


def _tally(n, **kwargs):
    split, predictions = scored.make(n, **kwargs)
    return (
        split,
        predictions,
        count.count_split(predictions, split, to_native=scored.keep),
    )


def test_best_median_and_worst_by_dice():
    split, _, tally = _tally(24)
    chosen = examples.choose(tally, split.ids)
    roles = [e["role"] for e in chosen]
    assert roles[:6] == ["best"] * 2 + ["median"] * 2 + ["worst"] * 2
    rows = metric_table.per_image(tally, split.ids, split.groups)
    dice = np.array([r["dice"] for r in rows if r["positive"]])
    assert chosen[0]["dice"] == dice.max() and chosen[5]["dice"] == dice.min()
    assert abs(np.mean([e["dice"] for e in chosen[2:4]]) - np.median(dice)) < 1e-12
    assert len({e["index"] for e in chosen}) == len(chosen)


@pytest.mark.parametrize(
    "clean, wrong", [(0, 9), (1, 9), (9, 0), (9, 1), (9, 9), (1, 0)]
)
def test_negatives_share_their_places(clean, wrong):
    split, _, tally = _tally(clean + wrong + 1)
    tally.confusion[:] = [[50, 0], [0, 0]]
    tally.confusion[-1] = [[40, 0], [10, 0]]
    tally.confusion[:wrong] = [[49, 1], [0, 0]]
    roles = [e["role"] for e in examples.choose(tally, split.ids)]
    assert len(roles) == 1 + min(4, clean + wrong)
    assert roles.count("negative") >= min(clean, 2)
    assert roles.count("false_positive") >= min(wrong, 2)


@pytest.mark.parametrize("n", range(8))
def test_few_positives_are_all_shown_once(n):
    split, _, tally = _tally(max(n, 1))
    tally.confusion[:] = [[40, 0], [n > 0, 0]]
    roles = [e["role"] for e in examples.choose(tally, split.ids)]
    shown = [r for r in roles if r in ("best", "median", "worst")]
    assert len(shown) == min(n, 6)
    assert n < 3 or {"best", "median", "worst"} == set(shown)


@pytest.mark.parametrize("k", [2, 3])
def test_pictures_are_what_was_counted(k):
    split, predictions, tally = _tally(6, k=k)
    point = {"threshold": 0.75, "min_area": 0.05} if k == 2 else None
    if point:
        tally = tallies.at(tally, **point)
    for row, (index, probability) in enumerate(predictions):
        example = split[index]
        found = examples.draw(example, probability, point)
        pictures = {kind: _read(content) for kind, content in found.items()}
        labelled = example["mask"] != 255
        guess = np.bincount(pictures["prediction"][labelled], minlength=k)
        np.testing.assert_array_equal(guess, tally.predicted[row])
        np.testing.assert_array_equal(pictures["mask"], example["mask"])
        np.testing.assert_array_equal(pictures["image"], example["image"][..., 0])
        error = pictures["probability"] / 255 - (1 - probability[..., 0])
        assert abs(error).max() <= 0.5 / 255 + 1e-6


def test_colours_and_16_bits():
    split, predictions = scored.make(1)
    h, w = split[0]["mask"].shape
    colours = np.random.default_rng(0).integers(0, 256, (h, w, 3)).astype(np.uint8)
    example = split[0] | {"image": colours}
    picture = _read(examples.draw(example, predictions[0][1], None)["image"])
    np.testing.assert_array_equal(picture[..., ::-1], colours)
    deep = np.linspace(30_000, 31_000, h * w).reshape(h, w, 1).astype(np.uint16)
    example["image"] = np.concatenate([deep, deep * 0], axis=-1)
    picture = _read(examples.draw(example, predictions[0][1], None)["image"])
    assert picture.min() == 0 and picture.max() == 255 and picture.ndim == 2
