"""A class that validation shows and a model never predicts is named once, aloud."""

import logging

import numpy as np
import pytest
from support import scored

from jaxseg.evaluation import count
from jaxseg.evaluation.count import Frozen
from jaxseg.run_directory import summary
from jaxseg.train import never_predicted


@pytest.fixture(scope="module")
def counted():
    """classes that cannot be predicted -> (tally, classes)."""
    split, predictions = scored.make(12, k=4)

    def without(*lost):
        offsets = np.where(np.isin(np.arange(4), lost), -50.0, 0.0)
        (tally,) = count.count_ways(
            predictions, split, (Frozen(offsets, None),), to_native=scored.keep
        )
        return tally, split.classes

    return without


def _warn(caplog, counted, progress, said, **options):
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        now = never_predicted.warn(*counted, progress=progress, said=said, **options)
    return now, caplog.text


def test_a_class_is_named_once_until_it_is_predicted_again(counted, caplog):
    lost = counted(2, 3)
    now, text = _warn(caplog, lost, 0.2, [])
    assert now == [] and text == ""  # it has had no time yet
    now, text = _warn(caplog, lost, 0.25, now)
    assert now == ["other", "third"]
    tally, _ = lost
    for c, name in ((2, "other"), (3, "third")):
        images = int((tally.truth[:, c] > 0).sum())
        pixels = int(tally.truth[:, c].sum())
        assert f"'{name}' (in {images} images, {pixels:,} pixels)" in text
    assert "after 25 % of training" in text and "class_weights" in text
    assert text.count("\n") == 1 and "object" not in text
    now, text = _warn(caplog, lost, 0.5, now)
    assert now == ["other", "third"] and text == ""
    now, text = _warn(caplog, counted(3), 0.6, now)
    assert now == ["third"] and text == ""
    now, text = _warn(caplog, lost, 0.7, now)
    assert now == ["other", "third"] and "'other'" in text and "'third'" not in text


def test_nothing_is_said_of_a_class_without_support_or_by_other_processes(
    counted, caplog
):
    tally, classes = counted(3)
    tally.confusion[:, 3] = 0
    assert _warn(caplog, (tally, classes), 1.0, []) == ([], "")
    assert _warn(caplog, counted(1), 1.0, [], log=False) == (["object"], "")


def test_the_last_lines_of_a_run_name_it():
    row = {"class": "rare", "never_predicted": True}
    row |= {"support_images": 3, "support_pixels": 1234}
    result = {"split": "test", "classes": ["background", "rare"], "metrics": []}
    result["class_table"] = [row | {"class": "background", "never_predicted": False}]
    assert summary.score_lines(result) == ""
    result["class_table"].append(row)
    words = "never predicted: rare (images of support: 3, pixels: 1,234)"
    assert words in summary.score_lines(result)


def test_the_last_lines_say_one_number_once():
    row = {"class": "cell", "support_images": 3, "value": 0.5}
    both = [row | {"name": name} for name in ("dice_positives", "dice_kaggle")]
    result = {"split": "test", "classes": ["background", "cell"], "metrics": both}
    assert summary.score_lines(result).count("0.5000") == 1
    both[1]["support_images"] = 4  # an image without cells, rightly left empty
    assert summary.score_lines(result).count("0.5000") == 2
