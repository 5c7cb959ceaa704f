"""Differences from the test set are those of the images, drawn apart or together."""

import copy

import numpy as np
import pytest
from support import fake_run

from jaxseg.report import derived_numbers, other_data_numbers
from jaxseg.report.read import read


@pytest.fixture(scope="module", params=[2, 4])
def test_set(request, tmp_path_factory):
    run = fake_run.make(tmp_path_factory.mktemp("run") / "r", classes=request.param)
    return read(run)["splits"]["test"]


def _pooled_dice(split):
    """The pooled Dice of the foreground, or its mean over classes that are there."""
    rows = [
        r
        for r in derived_numbers.metric_rows(split)
        if r["name"] == "dice_pooled" and r["class"] not in ("background", "mean")
    ]
    return np.mean([r["value"] for r in rows if r["value"] is not None])


def test_the_same_images_differ_by_nothing_and_only_pairing_shows_it(test_set):
    ids = [row["id"] for row in test_set["images"]]
    apart = other_data_numbers.gaps(test_set, test_set)[0]
    paired = other_data_numbers.gaps(test_set, test_set, ids)[0]
    assert apart["value"] == paired["value"] == 0
    assert apart["low"] < 0 < apart["high"]
    assert paired["low"] == paired["high"] == 0
    assert apart["there"] == pytest.approx(_pooled_dice(test_set))


def test_a_worse_set_is_below_and_its_sign_says_so(test_set):
    worse = copy.deepcopy(test_set)
    for row in worse["images"]:  # half of what was hit is missed
        lost = int(row["tp"] or 0) // 2
        row["tp"], row["fn"] = row["tp"] - lost, row["fn"] + lost
        for key in [k for k in row if k.startswith("dice/")]:
            row[key] = (row[key] or 0) / 2
    ids = [row["id"] for row in test_set["images"]]
    for shared in (None, ids):
        row = other_data_numbers.gaps(test_set, worse, shared)[0]
        assert row["name"] == "dice_pooled"
        assert (
            row["value"] == pytest.approx(row["there"] - row["test"])
            and row["value"] < 0
        )
        assert row["low"] <= row["value"] <= row["high"]


def test_nothing_is_said_without_images_in_common(test_set):
    assert other_data_numbers.gaps(test_set, test_set, []) == []
