"""What was fed of each class of whole images is counted, logged and reported."""

import types

import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxseg.config import base
from jaxseg.report.run import data_card
from jaxseg.train import epoch_sums, run_record
from jaxseg.train_step import step

NAMES = ["flu", "none", "tb"]
CLASSES = np.array([[1, 0, 0], [1, 0, 0], [0, -1, 1], [-1, -1, -1]], np.int8)


def _batch(**changes):
    batch = {"mask": np.zeros((4, 2, 2), np.uint8), "label": np.full(4, -1)}
    return batch | {"weight": np.float32([1, 1, 1, 0])} | changes


def test_a_step_counts_the_classes_of_images_it_was_given():
    fed = step._fed(_batch(image_classes=CLASSES), 2)
    counts = [float(fed[f"shows_image/{m}"]) for m in range(3)]
    assert counts == [2, 0, 1] and fed["examples"] == 3
    assert not any(name.startswith("shows_image") for name in step._fed(_batch(), 2))


def test_the_row_of_an_epoch_has_the_share_of_each():
    sums = epoch_sums.EpochSums()
    fed = step._fed(_batch(image_classes=CLASSES), 2)
    numbers = {"loss": np.float32(1), "bad": 0, "bad_run": 0, **fed}
    for _ in range(2):
        sums.add(numbers, np.arange(4), 0.0)
    sums.add(numbers | {"bad": 1, "bad_run": 1}, np.arange(4), 0.0)  # it was fed too
    plan = types.SimpleNamespace(batch_size=4, shares=(0.5,))
    row = sums.row(0, 3, plan, lambda _: 0.1, ["background", "spot"], NAMES)
    shares = [row[f"image_share_realised/{name}"] for name in NAMES]
    assert shares == pytest.approx([2 / 3, 0, 1 / 3])
    assert not any("image_share" in key for key in _plain_row(plan))


def _plain_row(plan):
    sums = epoch_sums.EpochSums()
    numbers = {"loss": np.float32(1), "bad": 0, "bad_run": 0, **step._fed(_batch(), 2)}
    sums.add(numbers, np.arange(4), 0.0)
    return sums.row(0, 1, plan, lambda _: 0.1, ["background", "spot"])


def _experiment(name):
    split = types.SimpleNamespace(image_classes=CLASSES, present=np.ones((4, 2), bool))
    config = ConfigDict({"sampler": base.base().sampler.to_dict() | {"name": name}})
    return config, types.SimpleNamespace(splits={"train": split})


def test_the_record_has_the_parts_of_a_sampler_by_class_of_images():
    parts = run_record._image_parts(*_experiment("by_image_class"))
    assert parts["image_class_parts"] == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3])
    assert run_record._image_parts(*_experiment("uniform")) == {}


def test_the_report_shows_what_was_stored_drawn_and_fed():
    counts = {"train": [[2, 1, 1], [0, 2, 2], [1, 2, 1]]}
    whole = {"names": NAMES, "exclusive": False, "images": counts}
    history = [{"epoch": e, **_shares(e)} for e in (1, 2)]
    run = {"info": {"dataset": {"image_classes": whole}}, "history": history}
    rows = [
        [cell["main"] for cell in row]
        for row in data_card.image_class_balance(run)["rows"]
    ]
    assert rows[0] == ["flu", "2", "1", "as stored", "50.0 %"]
    run["info"]["sampler"] = {"image_class_parts": [0.25, 0.25, 0.0, 0.5]}
    rows = data_card.image_class_balance(run)["rows"]
    assert [row[3]["main"] for row in rows] == ["25.0 %", "0.0 %", "50.0 %"]
    assert data_card.image_class_balance({"info": {}, "history": history}) is None


def _shares(epoch):
    return {f"image_share_realised/{n}": 0.2 * epoch + 0.2 for n in NAMES}
