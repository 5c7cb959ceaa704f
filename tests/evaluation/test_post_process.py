"""A rule of the user's own is run on every image, chosen on validation, and frozen."""

import sys
import types

import numpy as np
import pytest
from support import scored

from jaxseg.errors import ConfigError
from jaxseg.evaluation import count, operating_point, post_process
from jaxseg.metrics import overlap
from jaxseg.postprocess import decision


@pytest.fixture
def rule(monkeypatch):
    """A module of the user's: foreground in rows from `top` on, above `level`."""
    module = types.ModuleType("own_lab.rows")
    module.GRID = {"level": (0.3, 0.5, 0.9), "top": (0, 3)}

    def apply(probability, *, level, top):
        mask = probability[..., -1] > level
        mask[:top] = False
        return mask

    module.apply = apply
    module.__spec__ = types.SimpleNamespace(name="own_lab.rows")
    package = types.ModuleType("own_lab")
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "own_lab", package)
    monkeypatch.setitem(sys.modules, "own_lab.rows", module)
    return module


def _brute(predictions, split, apply, setting):
    """{tp, fp, fn, tn}, each int64 [n], pixel by pixel."""
    out = {key: [] for key in ("tp", "fp", "fn", "tn")}
    for index, probability in predictions:
        mask = split[index]["mask"]
        marked, truth = apply(probability, **setting), mask == 1
        for key, part in {
            "tp": marked & truth,
            "fp": marked & ~truth,
            "fn": ~marked & truth,
            "tn": ~marked & ~truth,
        }.items():
            out[key].append(int((part & (mask != 255)).sum()))
    return {key: np.array(values) for key, values in out.items()}


def test_the_best_of_all_settings_is_chosen_and_counted_as_by_hand(rule):
    split, predictions = scored.make(9, seed=3)
    split.name = "validation"
    keep = {"to_native": scored.keep}
    tally = count.count_split(predictions, split, **keep)
    shuffled = predictions[4:] + predictions[:4]
    options = {"rule": "own_lab.rows", "objective": "dice_pooled", **keep}
    point = post_process.choose(shuffled, tally, split, **options)
    settings = post_process.combinations("own_lab.rows")
    assert len(settings) == 6 and settings[1] == {"level": 0.3, "top": 3}
    counts = [_brute(predictions, split, rule.apply, s) for s in settings]
    values = [overlap.value("dice_pooled", c) for c in counts]
    assert point["value"] == max(values)
    assert point["settings"] == settings[values.index(max(values))]
    again = post_process.retally(shuffled, tally, split, point, **keep)
    best = counts[values.index(max(values))]
    np.testing.assert_array_equal(again.hits[:, 1], best["tp"])
    np.testing.assert_array_equal(again.predicted[:, 1], best["tp"] + best["fp"])
    np.testing.assert_array_equal(again.truth, tally.truth)
    decided = operating_point.apply(again, point, split)
    assert decided.point["optimistic"] and decided.tally is again


def test_a_picture_follows_the_rule_and_what_is_no_mask_is_refused(rule):
    split, predictions = scored.make(2)
    point = {"rule": "own_lab.rows", "settings": {"level": 0.5, "top": 2}}
    probability = predictions[1][1]
    mask = decision.decide(probability, point)
    assert mask.dtype == np.uint8 and not mask[:2].any()
    np.testing.assert_array_equal(mask[2:], probability[2:, :, 1] > 0.5)
    rule.apply = lambda probability, **_: probability
    with pytest.raises(ConfigError, match="own_lab.rows must return a mask of 0 and 1"):
        decision.decide(probability, point)


def test_no_setting_and_more_than_two_classes_are_refused(rule):
    rule.GRID = {"level": ()}
    with pytest.raises(ConfigError, match="GRID of own_lab.rows"):
        post_process.combinations("own_lab.rows")
    split, predictions = scored.make(3, k=3)
    tally = count.count_split(predictions, split, to_native=scored.keep)
    with pytest.raises(ConfigError, match="needs 2 classes, not 3"):
        post_process.choose(
            predictions,
            tally,
            split,
            rule="own_lab.rows",
            objective="dice_pooled",
            to_native=scored.keep,
        )
