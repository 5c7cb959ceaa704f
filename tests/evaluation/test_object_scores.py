"""Objects of a split: chosen, counted and summed as a hand would."""

import dataclasses

import numpy as np
import pytest

from jaxseg.data import pipeline
from jaxseg.errors import ConfigError
from jaxseg.evaluation.objects import choose, count, outlines, result
from jaxseg.evaluation.objects.finding import Finding
from jaxseg.metrics import instances
from jaxseg.postprocess import objects

VIEW = pipeline.View((8, 8), "crop", "none", None, None)
FINDING = Finding("components", "f1_50", dict(objects.CLEANING), num_classes=2)
SIZE = 24


@dataclasses.dataclass
class Made:
    """Images with squares of 4 pixels, and the pixels of them in micrometres."""

    name: str
    corners: list
    pixel_sizes: np.ndarray
    has_instances: bool = True
    hash: str = "abc"
    classes = ("background", "bead")

    def __post_init__(self):
        self.ids = [f"image{k}" for k in range(len(self.corners))]
        self.groups = self.ids
        self.hash = self.name

    def __len__(self):
        return len(self.corners)

    def __getitem__(self, index):
        ids = drawn(self.corners[index])
        image = np.where(ids > 0, 200, 20).astype(np.uint8)[..., None]
        mask = (ids > 0).astype(np.uint8)
        return {"image": image, "mask": mask, "instances": ids.astype(np.uint16)}


def drawn(corners):
    ids = np.zeros((SIZE, SIZE), np.int32)
    for k, (y, x) in enumerate(corners, 1):
        ids[y : y + 4, x : x + 4] = k
    return ids


def maps_of(ids, certainty=0.55):
    p = np.where(ids > 0, certainty, 0.1).astype(np.float32)
    return np.stack([1 - p, p], -1)


TRUTH = [[(1, 1), (10, 10), (18, 3)], [(5, 5)], []]
# one moved out of reach, one missed, one too many
SAID = [[(1, 1), (10, 10), (14, 16)], [], [(2, 2)]]


def split(name="validation", **options):
    options = {"pixel_sizes": np.full(len(TRUTH), np.nan)} | options
    return Made(name, TRUTH, **options)


def predictions(corners=SAID):
    return [(k, maps_of(drawn(c))) for k, c in enumerate(corners)]


def frozen():
    return choose.choose(predictions(), split(), FINDING, VIEW)


def scores(counted, of, chosen, **options):
    options = {"seed": 0, "resamples": 50} | options
    block = result.assemble(counted, of, chosen, **options)
    return block, {row["name"]: row for row in block["metrics"]}


def test_the_best_setting_is_kept_and_of_equal_ones_the_first():
    chosen = frozen()
    assert chosen["settings"] == {"threshold": 0.2}  # 0.2 to 0.5 all see the same
    assert chosen["value"] == pytest.approx(2 * 2 / (2 * 2 + 2 + 2))
    assert chosen["margin_px"] == 4 and chosen["split_hash"] == "validation"
    only = FINDING._replace(objective="aji")
    assert choose.choose(predictions(), split(), only, VIEW)["value"] == pytest.approx(
        32 / (32 + 2 * 16 + 2 * 16)
    )


def specked(corners):
    """What is predicted where a speck of one pixel lies beside the true objects."""
    ids = drawn(corners)
    ids[22, 22] = len(corners) + 1
    return maps_of(ids)


def test_specks_are_cleaned_where_that_helps_on_validation():
    said = [(k, specked(c)) for k, c in enumerate(TRUTH)]
    shares = FINDING._replace(min_area_shares=(0.0, 0.125, 0.5, 1.0))
    chosen = choose.choose(said, split(), shares, VIEW)
    # objects are of 16 pixels: the smallest area that drops the speck is kept
    assert chosen["cleaning"]["min_area"] == 2 and chosen["value"] == 1
    assert choose.choose(said, split(), FINDING, VIEW)["value"] < 1
    counted = count.count_split(said, split("test"), chosen, shares, VIEW)
    assert scores(counted, split("test"), chosen)[1]["object_f1_50"]["value"] == 1
    floor = shares._replace(cleaning={**shares.cleaning, "min_area": 17})
    assert choose.choose(said, split(), floor, VIEW)["cleaning"]["min_area"] == 17


def test_an_undefined_objective_keeps_the_first_settings(caplog):
    nothing = Made("validation", [[], []], np.full(2, np.nan))
    chosen = choose.choose(predictions([[], []]), nothing, FINDING, VIEW)
    assert chosen["value"] is None and chosen["settings"] == {"threshold": 0.2}
    assert "undefined on validation" in caplog.text


def test_the_numbers_are_those_of_a_hand():
    test = split("test")
    counted = count.count_split(predictions(), test, frozen(), FINDING, VIEW)
    block, by_name = scores(counted, test, frozen())
    value = {name: row["value"] for name, row in by_name.items()}
    assert value["object_f1_50"] == pytest.approx(0.5)
    assert value["object_precision_50"] == value["object_recall_50"] == 0.5
    assert value["object_accuracy_50"] == pytest.approx(2 / 6)
    assert value["object_accuracy_mean"] == pytest.approx(2 / 6)  # matches are exact
    assert value["object_panoptic_quality_50"] == pytest.approx(2 / 4)
    assert value["object_mean_matched_score_50"] == 1
    assert value["object_f1_50_images"] == pytest.approx((4 / 6 + 0 + 0) / 3)
    assert value["count_mae"] == pytest.approx((0 + 1 + 1) / 3)
    assert value["count_bias"] == pytest.approx(0)
    assert value["count_relative_error"] == pytest.approx((0 + 1) / 2)
    assert by_name["count_relative_error"]["support_images"] == 2
    assert block["support"] == {
        "images": 3,
        "true_objects": 4,
        "predicted_objects": 4,
    }
    assert block["agreement"]["mae"] == value["count_mae"]
    assert block["sizes"]["true"] == block["sizes"]["predicted"]
    assert sum(block["sizes"]["true"]) == 4 and block["sizes"]["distance"] == 0
    assert block["unit"] == "px" and block["density"]["unit"] == "megapixel"
    naive = block["density"]["true"]["naive"]
    assert naive == pytest.approx(4 / (3 * SIZE**2) * 1e6)
    assert [row["id"] for row in block["worst"]] == ["image1", "image2", "image0"]


def test_baselines_are_measured_on_the_same_images():
    test = split("test")
    counted = count.count_split(predictions(), test, frozen(), FINDING, VIEW)
    block, _ = scores(counted, test, frozen())
    whole, otsu = (row["metrics"] for row in block["baselines"])
    assert whole["object_f1_50"] == 0 and whole["count_mae"] == pytest.approx(1)
    assert otsu["object_f1_50"] == 1 and otsu["count_mae"] == 0  # squares on black
    assert whole.keys() == otsu.keys() == {r["name"] for r in block["metrics"]}
    assert "polarity=bright" in block["baselines"][1]["detail"]


def test_lengths_are_in_micrometres_where_every_size_is_known():
    test = split("test", pixel_sizes=np.array([0.5, 0.5, 0.5]))
    counted = count.count_split(predictions(), test, frozen(), FINDING, VIEW)
    block, _ = scores(counted, test, frozen())
    assert block["unit"] == "um" and block["density"]["unit"] == "mm2"
    disc = 2 * np.sqrt(16 / np.pi) * 0.5
    assert block["sizes"]["mean_true"] == pytest.approx(disc)
    area = 3 * SIZE**2 * 0.25 / 1e6
    assert block["density"]["true"]["naive"] == pytest.approx(4 / area)
    some = split("test", pixel_sizes=np.array([0.5, np.nan, 0.5]))
    counted = count.count_split(predictions(), some, frozen(), FINDING, VIEW)
    assert counted.unit == "px"


def test_any_order_and_any_share_of_processes_give_the_same_numbers(monkeypatch):
    test, chosen = split("test"), frozen()
    alone = count.count_split(predictions(), test, chosen, FINDING, VIEW)
    shares, parts = [predictions()[2:], predictions()[:2][::-1]], []
    monkeypatch.setattr(
        "jaxseg.devices.sharding.gather", lambda own: parts.append(own) or [own]
    )
    for share in shares:
        count.count_split(share, test, chosen, FINDING, VIEW)
    calls = len(parts) // 2
    answers = iter([[parts[k], parts[calls + k]] for k in range(calls)])
    monkeypatch.setattr("jaxseg.devices.sharding.gather", lambda own: next(answers))
    together = count.count_split(shares[0], test, chosen, FINDING, VIEW)
    assert scores(together, test, chosen) == scores(alone, test, chosen)
    assert result.per_image(together) == result.per_image(alone)


def test_the_same_images_under_another_name_are_refused():
    test = split("test")
    counted = count.count_split(predictions(), test, frozen(), FINDING, VIEW)
    test.hash = "validation"
    with pytest.raises(ConfigError, match="objects were chosen on 'validation'"):
        scores(counted, test, frozen())


def test_pixels_that_are_not_labelled_are_of_no_object():
    whole = Made.__getitem__

    def ignored(self, index):
        example = whole(self, index)
        example["mask"][14:18, 16:20] = 255  # where one is too many
        return example

    cut = type("Cut", (Made,), {"__getitem__": ignored})(
        "test", TRUTH, np.full(3, np.nan)
    )
    counted = count.count_split(predictions(), cut, frozen(), FINDING, VIEW)
    block, by_name = scores(counted, cut, frozen())
    assert by_name["object_f1_50"]["value"] == pytest.approx(4 / (4 + 1 + 2))
    assert sum(block["sizes"]["predicted"]) == 3


def test_outlines_say_what_became_of_each_object():
    image = np.full((SIZE, SIZE, 1), 7, np.uint8)
    truth, said = drawn(TRUTH[0]), drawn(SAID[0])
    picture = outlines.draw(image, truth, said)
    assert tuple(picture[1, 1]) == outlines.MATCHED
    assert tuple(picture[18, 3]) == outlines.MISSED
    assert tuple(picture[14, 16]) == outlines.EXTRA
    assert tuple(picture[2, 2]) == (7, 7, 7)  # the inside stays as it is


def test_every_objective_has_a_value():
    row = instances.measure(drawn(TRUTH[0]), drawn(SAID[0]))[None]
    for name in objects.OBJECTIVES:
        assert 0 < choose.value(name, row) < 1
