"""The decision rule: as its words say, pixel by pixel, and as it was counted."""

import subprocess
import sys

import numpy as np
import pytest
from support import scored

from jaxseg.errors import ConfigError
from jaxseg.evaluation import count, metric_table
from jaxseg.evaluation import tally as tallies
from jaxseg.postprocess import decision


def _brute(probability, mask, *, threshold, top, area, gate):
    """(tp, fp) of the rule, pixel by pixel, from its words."""
    keep = mask != 255
    p = probability[..., 1].astype(np.float64)
    answer = (p > threshold) & keep
    if ((p > top) & keep).sum() < area * keep.sum():
        answer[:] = False
    if gate is not None and not (p[keep] > gate).any():
        answer[:] = False
    return (answer & (mask == 1)).sum(), (answer & (mask == 0)).sum()


@pytest.mark.parametrize("seed", range(4))
def test_counts_pictures_and_brute_force_agree(seed):
    """Odd sizes, 1 x N images, ignored pixels, saturated scores and scores on edges."""
    rng = np.random.default_rng(seed)
    sizes = ((1, 1), (1, 30), (7, 5), (9, 9))
    split, predictions = scored.make(16, seed=seed, sizes=sizes)
    for _, p in predictions:
        p[..., 1] = np.where(
            rng.random(p.shape[:2]) < 0.2, np.rint(p[..., 1]), p[..., 1]
        )
        p.flat[1] = rng.choice(decision.COARSE)
        p[..., 0] = 1 - p[..., 1]
    predictions[3][1][...] = np.array([1, 0])  # no score above any threshold
    split[6]["mask"][:] = 255
    tally = count.count_split(predictions, split, to_native=scored.keep)
    emptied = 0
    for _ in range(40):
        low, high = sorted(rng.choice(decision.THRESHOLDS, 2).tolist())
        area = float(rng.choice([0, 1e-9, 0.05, 0.2]))
        gates = [None, *decision.COARSE[50:], *tally.max_probability.tolist()]
        gate = rng.choice(gates)
        point = {"threshold": low, "min_area": area, "top_threshold": high}
        point |= {"gate": gate, "rule": "any", "objective": "dice_pooled"}
        settings = decision.settings(point)
        counts = metric_table.of_class(tallies.at(tally, **settings), 1)
        for row, (index, probability) in enumerate(predictions):
            mask = split[index]["mask"]
            rule = {"threshold": low, "top": high, "area": area, "gate": gate}
            tp, fp = _brute(probability, mask, **rule)
            assert (counts["tp"][row], counts["fp"][row]) == (tp, fp), (point, index)
            for channels in (probability, probability[..., 1:]):
                answer = decision.apply(channels, labelled=mask != 255, **settings)
                assert answer[mask != 255].sum() == tp + fp
            emptied += (tp + fp == 0) and bool((probability[..., 1] > low).any())
    assert emptied > 40  # the rules had work to do


def test_without_a_threshold_the_most_probable_class_is_taken():
    probability = np.random.default_rng(0).dirichlet(np.ones(4), (5, 6))
    answer = decision.apply(probability.astype(np.float32), **decision.settings(None))
    assert answer.dtype == np.uint8
    np.testing.assert_array_equal(answer, probability.argmax(-1))


def test_without_labels_every_pixel_decides():
    probability = np.zeros((4, 5, 1), np.float32)
    probability[0, :2] = 0.75
    rule = {"threshold": 0.5, "min_area": 0.2}
    assert not decision.apply(probability, **rule).any()
    labelled = np.zeros((4, 5), bool)
    labelled[:2] = True
    assert decision.apply(probability, labelled=labelled, **rule).sum() == 2


def test_the_grid_names_the_settings_of_apply():
    for name, choices in decision.GRID.items():
        for value in (choices[0], choices[-1]):
            decision.apply(np.zeros((2, 2, 1), np.float32), **{name: float(value)})
    point = dict.fromkeys(decision.GRID, 0.5)
    more = {"rule": "gate", "value": 0.9, "optimistic": True}
    assert decision.settings(point | more) == point
    assert decision.settings({"threshold": 0.5, "value": 1}) == {"threshold": 0.5}


def test_thresholds_are_exact_floats_symmetric_and_cover_both_ends():
    grid = decision.THRESHOLDS
    assert (grid.astype(np.float32) == grid).all()
    assert (np.diff(grid) > 0).all() and 0.5 in grid
    np.testing.assert_array_equal(grid, 1 - grid[::-1])
    assert grid[0] < 1e-5 and np.diff(grid).max() <= 1 / 64
    assert set(decision.COARSE) <= set(grid) and 0.5 in decision.COARSE


def test_the_rule_is_known_before_jax_starts():
    """The check of a config reads its choices here."""
    call = "import sys; from jaxseg.postprocess import decision; "
    call += "sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", call]).returncode == 0


@pytest.mark.parametrize(
    "rule, two, more",
    [
        ("auto", "threshold", "offsets"),
        ("threshold", "threshold", "argmax"),  # as runs of before have it
        ("gate", "gate", "argmax"),
        ("offsets", None, "offsets"),
        ("argmax", None, "argmax"),
        ("my_lab.my_rule", "my_lab.my_rule", None),
    ],
)
def test_what_a_rule_means_depends_on_the_number_of_classes(rule, two, more):
    for k, expected in ((2, two), (3, more), (9, more)):
        if expected is None:
            with pytest.raises(ConfigError, match="2 classes.* leave it at 'auto'"):
                decision.rule_for(rule, k)
        else:
            assert decision.rule_for(rule, k) == expected


def test_a_point_of_offsets_decides_and_needs_one_for_each_class():
    probability = np.array([[[0.6, 0.3, 0.1], [0.5, 0.25, 0.25]]], np.float32)
    point = {"rule": "offsets", "offsets": [0.0, 0.5, 1.5], "objective": "dice_pooled"}
    np.testing.assert_array_equal(decision.decide(probability, point), [[0, 2]])
    np.testing.assert_array_equal(decision.decide(probability, None), [[0, 0]])
    with pytest.raises(ConfigError, match="holds 2 offsets, .* predicts 3 classes"):
        decision.decide(probability, {"offsets": [0.0, 1.0]})
