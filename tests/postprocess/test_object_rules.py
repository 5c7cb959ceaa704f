"""Every rule that finds objects: what touches is separated, what is one stays one."""

import itertools

import numpy as np
import pytest
from support import label_maps

from jaxseg import errors, lookup
from jaxseg.postprocess import decision, objects

RULES = lookup.names(objects.FOLDER)
each = pytest.mark.parametrize("rule", RULES)
SEPARATING = [rule for rule in RULES if rule != "components"]
TOUCHING = [(12, 12, 7), (12, 25, 6.5), (24, 18, 7)]


def maps_of(labels, n_rays=16):
    """What a network would predict that has learnt every target by heart."""
    distance = label_maps.distance(labels)
    highest = [distance[labels == i].max(initial=1) for i in range(labels.max() + 1)]
    return {
        "probability": label_maps.foreground(labels),
        "border": ((distance > 0) & (distance < 2)).astype(np.float32),
        "distance": (distance / np.array(highest)[labels]).astype(np.float32),
        "rays": label_maps.rays(labels, n_rays).astype(np.float32),
    }


def without(maps, *names):
    return {key: value for key, value in maps.items() if key not in names}


def test_rules_of_objects_are_no_decision_rules():
    assert RULES == ["border", "components", "star", "watershed"]
    assert lookup.names("postprocess") == ["decision"]
    with pytest.raises(errors.DataError, match="rule is 'watershed'"):
        decision.check({"rule": "watershed"}, num_classes=2, source="x")


@each
def test_touching_discs_are_separated(rule):
    truth = label_maps.discs((36, 36), TOUCHING)
    labels = objects.find(maps_of(truth), rule)
    assert labels.dtype == np.int32
    if rule == "components":
        assert labels.max() == 1
    else:
        assert labels.max() == 3
        assert label_maps.matched(truth, labels).min() > 0.9


def test_the_distance_of_the_mask_is_enough_for_a_watershed():
    truth = label_maps.discs((36, 36), TOUCHING)
    maps = without(maps_of(truth), "distance")
    labels = objects.find(maps, "watershed")
    assert labels.max() == 3 and label_maps.matched(truth, labels).min() > 0.9


def test_a_predicted_distance_decides_where_there_is_one():
    bar = np.zeros((20, 60), np.int32)
    bar[6:14, 5:55] = 1
    maps = {"probability": label_maps.foreground(bar)}
    assert objects.find(maps, "watershed").max() == 1
    halves = np.where(np.arange(60) < 30, bar, 2 * bar)
    predicted = maps | {"distance": label_maps.distance(halves).astype(np.float32)}
    labels = objects.find(predicted, "watershed")
    assert labels.max() == 2 and label_maps.matched(halves, labels).min() > 0.9


@pytest.mark.parametrize("middle", [(20, 20), (20.5, 20), (20.5, 20.5), (20.3, 19.8)])
@pytest.mark.parametrize("min_distance", [2, 3, 8])
def test_one_disc_is_never_split(middle, min_distance):
    settings = {"min_distance": min_distance}
    for radius in (0.7, *np.arange(1.5, 19, 0.7)):
        truth = label_maps.discs((42, 41), [(*middle, radius)])
        maps = {"probability": label_maps.foreground(truth)}
        labels = objects.find(maps, "watershed", settings)
        np.testing.assert_array_equal(labels, truth, f"{radius}")


def test_a_bar_is_never_split():
    """Its ridge is one seed, however long it is."""
    bar = np.zeros((20, 60), np.int32)
    bar[6:14, 5:55] = 1
    for truth in (bar, bar.T, bar[:, ::-1], bar[:13]):
        maps = {"probability": label_maps.foreground(truth)}
        np.testing.assert_array_equal(objects.find(maps, "watershed"), truth)


@pytest.mark.parametrize("rule", ["border", "star"])
def test_one_disc_is_one_object_by_border_and_by_rays(rule):
    for radius in (1, 2, 3.5, 6, 9):
        truth = label_maps.discs((24, 24), [(11.5, 12, radius)])
        labels = objects.find(maps_of(truth, 32), rule)
        assert labels.max() == 1, radius
        # a polygon cuts the corners of a few pixels
        assert label_maps.matched(truth, labels)[0] > (0.85 if rule == "star" else 0.99)


@each
def test_an_empty_image_has_no_objects(rule):
    maps = maps_of(np.zeros((6, 7), np.int32))
    labels = objects.find(maps, rule, None, {"fill_holes": True, "opening": 1})
    assert labels.shape == (6, 7) and not labels.any()
    full = maps_of(np.zeros((6, 7), np.int32)) | {
        "probability": np.full((6, 7, 2), (0, 1), np.float32)
    }
    assert objects.find(full, rule).max() == (0 if rule == "star" else 1)


@each
def test_a_mirrored_image_has_mirrored_objects(rule):
    truth = label_maps.discs((36, 36), TOUCHING)
    maps = maps_of(truth)
    labels = objects.find(maps, rule)
    for axis in (0, 1):
        mirrored = maps_of(np.flip(truth, axis))
        back = np.flip(objects.find(mirrored, rule), axis)
        assert back.max() == labels.max()
        # a pixel as far from two seeds belongs to one of them
        assert label_maps.matched(labels, back).min() > 0.97


@each
def test_objects_are_numbered_by_their_first_pixels(rule):
    truth = label_maps.discs((36, 36), TOUCHING)
    labels = objects.find(maps_of(truth), rule)
    _, first = np.unique(labels, return_index=True)
    assert (np.diff(first[1:]) > 0).all()
    other = maps_of(np.array([0, 3, 1, 2])[truth])  # ids decide nothing
    np.testing.assert_array_equal(objects.find(other, rule), labels)


@each
def test_every_setting_that_validation_may_choose_runs(rule):
    maps = maps_of(label_maps.discs((20, 20), [(7, 6, 4), (8, 14, 4)]), 8)
    grid = lookup.find(objects.FOLDER, rule).GRID
    for values in itertools.product(*grid.values()):
        labels = objects.find(maps, rule, dict(zip(grid, values, strict=True)))
        assert 1 <= labels.max() <= 2


def test_objects_of_different_classes_never_join():
    truth = label_maps.discs((30, 30), [(10, 9, 6), (10, 21, 6), (19, 15, 6)])
    classes = np.array([0, 1, 2, 2])[truth]
    maps = {"probability": np.eye(3, dtype=np.float32)[classes]}
    labels = objects.find(maps, "components")
    assert labels.max() == 2  # the two of class 2 touch
    assert [*np.unique(labels[classes == 1])] == [1]
    assert objects.find(maps_of(truth) | maps, "watershed").max() == 3


@pytest.mark.parametrize("rule, lacks", [("border", "border"), ("star", "rays")])
def test_a_rule_says_which_target_it_needs(rule, lacks):
    maps = without(maps_of(np.zeros((4, 4), np.int32)), lacks)
    with pytest.raises(errors.ConfigError, match=f"target.name='{rule}'"):
        objects.find(maps, rule)


def test_maps_of_a_network_get_their_names():
    array = np.arange(7, dtype=np.float32).reshape(1, 1, 7)
    names = ("distance", "ray_0", "ray_1", "ray_2", "border")
    named = objects.named(array, names, ray_length=10.0)
    shown = {key: np.ravel(value).tolist() for key, value in named.items()}
    rays = {"rays": [30, 40, 50]}
    assert shown == {"probability": [0, 1], "distance": [2], **rays, "border": [6]}
    with pytest.raises(errors.ConfigError, match="7 maps are not two classes and"):
        objects.named(array, tuple("abcdef"))


RULE = """
import numpy as np

GRID = {}


def find(maps, *, answer):
    return np.asarray(answer)
"""


@pytest.mark.parametrize(
    "answer, words",
    [
        ([[0.5, 1]], "integers >= 0; it returned float64"),
        ([[-1, 1]], "integers >= 0; it returned int64 from -1"),
        ([[1]], r"a label map \(1, 2\); it returned \(1, 1\)"),
        ([[9, 4]], ""),
    ],
)
def test_a_rule_of_the_users_own(answer, words, tmp_path, monkeypatch):
    (tmp_path / "rules_lab").mkdir()
    (tmp_path / "rules_lab" / "mine.py").write_text(RULE)
    monkeypatch.syspath_prepend(tmp_path)
    maps = {"probability": np.zeros((1, 2, 2), np.float32)}
    if words:
        with pytest.raises(errors.ConfigError, match=words):
            objects.find(maps, "rules_lab.mine", {"answer": answer})
    else:
        labels = objects.find(maps, "rules_lab.mine", {"answer": answer})
        assert labels.tolist() == [[1, 2]]


STARS = [(9, 10, 7, 3, 0.2), (11, 24, 7, 5, 0.15), (24, 14, 8, 4, 0.2)]
STARS += [(24, 31, 9, 2, 0.25), (6, 38, 5, 3, 0.1)]
# stardist 0.9.2 of the drawn stars: star_dist with 16 rays, edt_prob,
# non_maximum_suppression(prob_thresh=0.3, nms_thresh=0.4), polygons_to_label
STARDIST = """
............................................
....................................111.....
......22222.........................11111...
......222222.......................1111111..
.....22222222...........3333......111111111.
.....22222222222.......333333.....111111111.
.....222222222222..3333333333.....1111111111
.....2222222222222333333333333....111111111.
.....2222222222222333333333333....111111111.
.....22222222222223333333333333....1111111..
.....222222222222233333333333333....11111...
.....2222222222222.33333333333333...111.....
.....222222222222.33333333333333............
.....22222222222..3333333333333.............
.....22222222.....333333333333..............
......222222.444..333333333333..............
......22222.444444.3333333333...............
............444444......3333................
...........44444444.....5555555555555.......
.........4444444444....55555555555555555....
........4444444444444.5555555555555555555...
.......4444444444444455555555555555555555...
......444444444444444555555555555555555555..
......444444444444445555555555555555555555..
.....44444444444444455555555555555555555555.
......444444444444445555555555555555555555..
......444444444444444555555555555555555555..
.......4444444444444455555555555555555555...
........4444444444444.5555555555555555555...
.........4444444444....55555555555555555....
...........44444444.....5555555555555.......
............444444..........................
............444444..........................
.............444............................
"""


def test_stars_are_those_of_stardist():
    maps = maps_of(label_maps.stars((34, 44), STARS))
    labels = objects.find(maps, "star", {"threshold": 0.3, "overlap": 0.4})
    rows = [[*row.replace(".", "0")] for row in STARDIST.split()]
    theirs = np.array(rows).astype(np.int32)
    assert labels.max() == theirs.max() == 5
    assert label_maps.matched(labels, theirs).min() >= 0.95


def test_the_more_probable_of_two_stars_stays():
    """A candidate that shares too much with a better one is no object."""
    rays = np.full((20, 30, 32), 5.0, np.float32)
    score = np.zeros((20, 30), np.float32)
    score[10, 8], score[10, 14], score[10, 22] = 0.9, 0.8, 0.7
    maps = {"probability": np.stack([1 - score, score], -1)}
    maps |= {"rays": rays, "distance": score}
    few, many = (objects.find(maps, "star", {"overlap": o}) for o in (0.2, 0.4))
    assert few.max() == 2 and many.max() == 3
    assert few[10, 14] == 0 and many[10, 11] == 1  # both cover it
    assert objects.find(maps, "star", {"threshold": 0.75}).max() == 2


def test_a_small_star_half_within_a_large_one_is_no_object():
    """Its shared pixels are many of its own, though few of the large one's."""
    score = np.zeros((30, 40), np.float32)
    score[15, 14], score[15, 25] = 0.9, 0.8
    rays = np.full((30, 40, 32), 10.0, np.float32)
    rays[15, 25] = 6.0
    maps = {"probability": np.stack([1 - score, score], -1)}
    maps |= {"rays": rays, "distance": score}
    assert objects.find(maps, "star", {"overlap": 0.25}).max() == 1
    assert objects.find(maps, "star", {"overlap": 0.6}).max() == 2


def test_stars_of_different_classes_share_no_pixel():
    score = np.zeros((20, 30), np.float32)
    score[10, 8], score[10, 14] = 0.7, 0.9
    classes = np.where(np.arange(30) < 11, 1, 2) * np.ones((20, 1), int)
    maps = {"probability": np.eye(3, dtype=np.float32)[classes], "distance": score}
    maps["rays"] = np.full((20, 30, 16), 5.0, np.float32)
    labels = objects.find(maps, "star")
    assert labels.max() == 2 and labels[10, 14] == 2
    assert (
        labels[10, 10:13] == 1
    ).all()  # both cover it: that of the first class has it


def test_pixels_that_share_a_corner_are_one_object():
    maps = {"probability": label_maps.foreground(np.eye(4, dtype=np.int32))}
    assert objects.find(maps, "components").max() == 1


def test_equal_maxima_within_the_minimum_distance_are_one_seed():
    depth = np.full((21, 21), 0.5, np.float32)
    depth[10, 8] = depth[10, 12] = 1.0
    maps = {"probability": label_maps.foreground(np.ones((21, 21), np.int32))}
    maps["distance"] = depth

    def count(min_distance):
        settings = {"sigma": 0.0, "min_distance": min_distance}
        return objects.find(maps, "watershed", settings).max()

    # beyond the minimum distance a flat map has maxima of its own: these are two peaks
    assert count(8) == 1 and count(4) == 1
    depth[10, 8] = 0.9
    assert count(8) == 1
