"""Objects of an image that is read by rows are those of the image in memory."""

import pathlib

import numpy as np
import pytest
import tifffile
from support import label_maps

from jaxseg import errors
from jaxseg.metrics import counting_frame
from jaxseg.postprocess import objects as rules
from jaxseg.predict import huge_files, huge_objects, objects
from jaxseg.predict.masks import Labelled

SHAPE = (260, 90)
RADIUS = 7


def scene(seed):
    """(maps f32 [h, w, 2], pixels u8 [h, w, 1]) of discs, many of them touching."""
    rng = np.random.default_rng(seed)
    circles = [
        (y, x, r)
        for y, x, r in zip(
            rng.uniform(0, SHAPE[0], 90),
            rng.uniform(0, SHAPE[1], 90),
            rng.uniform(1.5, RADIUS, 90),
            strict=True,
        )
    ]
    inside = label_maps.discs(SHAPE, circles) > 0
    p = np.where(inside, 0.9, 0.1) + rng.uniform(-0.05, 0.05, SHAPE)
    maps = np.stack([1 - p, p], -1).astype(np.float32)
    return maps, rng.integers(0, 255, (*SHAPE, 1), np.uint8)


def rule_of(name, margin, **settings):
    def find(maps, scale):
        return rules.find({"probability": maps[..., :2]}, name, settings)

    return objects.Rule(name, find, margin)


def by_rows(maps, pixels, rule, tmp_path, heights):
    """(rows of the table, label map, counts), from rows of these heights by turns."""
    read = huge_objects.labelled(
        pathlib.Path("a.tif"), lambda a, b: pixels[a:b], ["background", "bead"], 0.5, 1
    )
    classes = (maps[..., 1] > 0.5).astype(np.uint8)
    sure = maps.max(-1)
    with huge_files.LabelMap(tmp_path / "a.tif", SHAPE) as written:
        finder = huge_objects.Finder(rule, SHAPE, read, written)
        top = number = 0
        while top < SHAPE[0]:
            rows = slice(top, top + heights[number % len(heights)])
            finder.add(maps[rows], classes[rows], sure[rows])
            top, number = rows.stop, number + 1
        table = finder.finish()
        counts = counting_frame.measure(written.read(), margin=RADIUS)
        written.finish({"photometric": "minisblack", "metadata": None})
    return table, tifffile.imread(tmp_path / "a.tif"), counts


@pytest.mark.parametrize("heights", [(31,), (7, 90, 1), (260,)])
@pytest.mark.parametrize(
    "name, margin, settings",
    [
        ("components", 25, {"threshold": 0.5}),
        ("watershed", 2 * RADIUS + 1, {"threshold": 0.5, "min_distance": 3}),
    ],
)
def test_bands_find_what_the_whole_image_holds(
    name, margin, settings, heights, tmp_path, monkeypatch
):
    monkeypatch.setattr(huge_objects, "_LEAST", 40)
    monkeypatch.setattr(huge_objects, "_SURE", 12)
    monkeypatch.setattr(huge_files, "_TILE", 32)
    rule = rule_of(name, margin, **settings)
    # bands of 40 rows for beads, and of twice the margin for what sticks together
    for seed in range(3):
        maps, pixels = scene(seed)
        table, labels, counts = by_rows(maps, pixels, rule, tmp_path, heights)
        whole = rule.find(maps, 1.0)
        assert labels.dtype == np.uint16 and whole.max() > 20
        np.testing.assert_array_equal(labels, whole)
        image = Labelled(
            (maps[..., 1] > 0.5).astype(np.uint8),
            maps.max(-1),
            pixels,
            ["background", "bead"],
            pathlib.Path("a.tif"),
            1,
            0.5,
            "",
        )
        rows = objects.rows(whole, image)
        assert len(table) == len(rows)
        for one, other in zip(table, rows, strict=True):
            assert one.pop("class") == other.pop("class") == "bead"
            assert one == pytest.approx(other, rel=1e-6)
        np.testing.assert_array_equal(
            counts, counting_frame.measure(whole, margin=RADIUS)
        )


def test_an_object_longer_than_a_band_can_show_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(huge_objects, "_LEAST", 40)
    maps, pixels = scene(0)
    maps[10:200, 40:44] = (0.1, 0.9)
    rule = rule_of("components", 9, threshold=0.5)
    with pytest.raises(errors.DataError, match="more than 50 rows long"):
        by_rows(maps, pixels, rule, tmp_path, (31,))
    assert list(tmp_path.iterdir()) == []  # and no file stays behind
