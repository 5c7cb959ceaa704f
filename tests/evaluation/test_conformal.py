"""The conformal threshold: by hand, and in draws of exchangeable images."""

import dataclasses
import json
import logging

import numpy as np
import pytest
from support import scored

from jaxseg.errors import ConfigError
from jaxseg.evaluation import conformal, count, score_split
from jaxseg.evaluation import tally as tallies
from jaxseg.postprocess import decision
from jaxseg.run_directory import schemas

BELOW_HALF = 2.0**-2 * (1 + 31 / 32)  # of decision.THRESHOLDS


def _split(foreground, *, name="validation", groups=None, background=(0.1, 0.9)):
    """(split, tally) of images with these probabilities at their foreground pixels.

    Beside them each has two background pixels, and one without a label.
    """
    examples, predictions = [], []
    for i, values in enumerate(foreground):
        p = np.array([[*values, *background, 0.0]], np.float32)
        mask = np.array([[1] * len(values) + [0, 0, 255]], np.uint8)
        examples.append({"mask": mask, "image": mask[..., None], "id": f"scan{i}"})
        examples[-1]["group"] = groups[i] if groups else f"patient{i}"
        predictions.append((i, np.stack([1 - p, p], -1)))
    split = scored.Split(examples, name=name, hash=name)
    return split, count.count_split(predictions, split, to_native=scored.keep)


def _ten(*first):
    """Ten images of ten foreground pixels, of which these of the first few are low."""
    return [[*low, *[0.9] * (10 - len(low))] for low in (*first, *[()] * 10)][:10]


@pytest.mark.parametrize(
    "foreground, threshold",
    [
        # ten images may lose 0.1 x 11 - 1 = 0.1 together: one pixel of ten of one
        (_ten([0.3], [0.5]), BELOW_HALF),
        (_ten([0.3], [0.5], ())[:9], 0.296875),  # nine may lose nothing
        (_ten([0.3, 0.5]), BELOW_HALF),
        (_ten([0.3, 0.3]), 0.296875),  # 0.2 at once
        (_ten([0.2], [0.5]) + [[]] * 20, BELOW_HALF),  # images without foreground
        (_ten([0.0], [0.5]), BELOW_HALF),
        (_ten([0.0], [0.0]), None),
    ],
)
def test_the_largest_threshold_that_keeps_the_promise(foreground, threshold):
    split, tally = _split(foreground)
    chosen = conformal.choose(tally, split)
    assert chosen["threshold"] == threshold
    assert chosen["images"] == chosen["groups"] == min(len(foreground), 10)
    assert (chosen["alpha"], chosen["needed"]) == (0.1, 9)
    assert (chosen["source_split"], chosen["split_hash"]) == ("validation",) * 2


def test_too_few_images_are_refused_with_the_number_that_is_needed(caplog):
    split, tally = _split(_ten()[:8])
    with caplog.at_level(logging.WARNING):
        chosen = conformal.choose(tally, split)
    assert chosen["threshold"] is None and chosen["images"] == 8
    assert "rests on 8 images with foreground, and 9 are needed" in caplog.text
    block = conformal.assemble(tally, chosen, split)
    assert block["realised"] is None and block["realised_images"] == 8
    assert "No threshold is promised: it rests on 8" in block["detail"]
    strict = conformal.choose(tally, split, alpha=0.5)
    assert strict["threshold"] is not None and strict["needed"] == 1


def test_what_is_realised_is_the_mean_over_images_with_foreground():
    split, tally = _split(_ten([0.3], [0.5]), groups=[f"p{k // 2}" for k in range(10)])
    chosen = conformal.choose(tally, split)
    test, other = _split([[0.49, 0.9, 0.9, 0.9], [0.9], []], name="test")
    block = conformal.assemble(other, chosen, test)
    schemas.check(block, schemas.Conformal, "test.json")
    assert block["realised"] == (1 / 4 + 0) / 2 and block["realised_images"] == 2
    assert not block["optimistic"] and block["threshold"] == BELOW_HALF
    assert "10 images with foreground of validation (of 5 groups" in block["detail"]
    assert "10% of its foreground" in block["detail"]
    assert json.loads(json.dumps(block)) == block
    itself = conformal.assemble(tally, chosen, split)
    assert itself["optimistic"] and itself["realised"] == pytest.approx(0.01)
    empty = conformal.assemble(_split([[]])[1], chosen, test)
    assert empty["realised"] is None and empty["realised_images"] == 0


def test_the_images_it_was_chosen_on_are_refused_under_another_name():
    split, tally = _split(_ten())
    chosen = conformal.choose(tally, split)
    renamed = scored.Split(split.examples, name="test", hash="validation")
    with pytest.raises(ConfigError, match="conformal threshold was chosen on 'valid"):
        conformal.assemble(tally, chosen, renamed)
    with pytest.raises(ConfigError, match="not on the grid"):
        conformal.assemble(tally, {**chosen, "threshold": 0.3}, split)


def test_scoring_freezes_it_and_reads_runs_without_it():
    split, tally = _split(_ten([0.3], [0.5]))
    scoring = score_split.Scoring(
        None, None, None, step=3, seed=0, resamples=20, tolerance=None
    )
    point = score_split.choose_point(
        tally, split, step=3, objective="dice_pooled", min_areas=(0.0,)
    )
    schemas.check(point, schemas.OperatingPoint, "operating_point.json")
    scores, _ = score_split.score_tally(scoring, split, point, tally)
    assert scores["conformal"]["threshold"] == BELOW_HALF
    assert scores["conformal"]["optimistic"]
    del point["conformal"]
    older, _ = score_split.score_tally(scoring, split, point, tally)
    assert older == {k: v for k, v in scores.items() if k != "conformal"}
    three, predictions = scored.make(6, k=3)
    more = count.count_split(predictions, three, to_native=scored.keep)
    assert conformal.choose(more, three) is None


def _drawn(rng, images):
    """A tally of images whose 1 to 4 foreground pixels share a probability, or not."""
    scores = np.zeros((images, 2, tallies.CELLS), np.uint32)
    for row in scores:
        p = rng.uniform(0.001, 1, rng.integers(1, 5))
        p = np.full(len(p), p[0]) if rng.random() < 0.8 else p
        np.add.at(row[1], np.searchsorted(decision.THRESHOLDS, p), 1)
    confusion = np.zeros((images, 2, 2), np.int64)
    confusion[:, 1, 1] = scores[:, 1].sum(-1)
    none = tallies.empty(2)
    return dataclasses.replace(
        none, index=np.arange(images), confusion=confusion, scores=scores
    )


def test_on_exchangeable_images_the_promise_holds_in_the_mean():
    """Ten images choose and one is new, again and again; 1 / (n + 1) is what it costs.

    Without that term the same draws lose far more than was promised.
    """
    rng = np.random.default_rng(0)
    split = scored.Split([{"id": str(k), "group": str(k)} for k in range(10)])
    realised, without = [], []
    for _ in range(1500):
        ten = _drawn(rng, 10)
        new = conformal.total_miss_rate(_drawn(rng, 1))
        chosen = conformal.choose(ten, split)["threshold"]
        realised.append(new[tallies.position(chosen)])
        plain = np.flatnonzero(conformal.total_miss_rate(ten) <= 0.1 * 10)[-1]
        without.append(new[plain])
    error = np.std(realised) / 1500**0.5
    assert 0.06 < np.mean(realised) <= 0.10 + 2 * error
    assert np.mean(without) > 0.14
