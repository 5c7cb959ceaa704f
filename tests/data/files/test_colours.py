"""Colours of masks: counted, turned into labels, and told in words."""

import numpy as np

from jaxseg.data.files import colours
from jaxseg.labels import IGNORE

TABLE = colours.table(
    ["background", "cell", "Ignore", "core"],
    [(0, 0, 0), (255, 0, 0), (255, 255, 255), (0, 0, 1)],
)


def test_the_line_ignore_takes_no_class_id():
    assert [line.label for line in TABLE] == [0, 1, IGNORE, 2]


def test_colours_become_labels_and_others_are_counted():
    pixels = np.zeros((2, 4, 3), np.uint8)
    pixels[0] = [(0, 0, 0), (255, 0, 0), (255, 255, 255), (0, 0, 1)]
    pixels[1] = [(0, 0, 2), (255, 255, 254), (0, 0, 2), (0, 0, 0)]
    labels, unlisted = colours.labels(pixels, TABLE)
    assert labels.dtype == np.uint8 and labels[0].tolist() == [0, 1, IGNORE, 2]
    assert unlisted.tolist() == [[0, 0, 2, 2], [255, 255, 254, 1]]
    words = colours.unlisted(unlisted, TABLE)
    assert words.startswith("the colour 0,0,2 in 2 pixels and 1 others in 1; ")
    assert "lists background 0,0,0, cell 255,0,0, Ignore 255,255,255, core" in words
    assert colours.labels(pixels[:1], TABLE)[1].shape == (0, 4)


def test_any_colours_become_what_the_table_says():
    rng = np.random.default_rng(0)
    every = rng.permutation(2**24)[:255]
    shades = [(int(v) >> 16, int(v) >> 8 & 255, int(v) & 255) for v in every]
    table = colours.table([str(k) for k in range(255)], shades)
    ids = rng.integers(0, 255, (40, 50))
    labels, unlisted = colours.labels(np.array(shades, np.uint8)[ids], table)
    np.testing.assert_array_equal(labels, ids)
    assert not len(unlisted)


def test_counts_of_masks_add_up():
    one = colours.count(np.array([[(9, 8, 7), (0, 0, 0), (9, 8, 7)]], np.uint8))
    two = colours.count(np.array([[(0, 0, 0), (0, 0, 0), (1, 1, 1)]], np.uint8))
    both = colours.add([one, two])
    assert both.tolist() == [[0, 0, 0, 3], [9, 8, 7, 2], [1, 1, 1, 1]]
    assert colours.shares(both) == "0,0,0 (50 %), 9,8,7 (33.3 %), 1,1,1 (16.7 %)"


def test_the_proposal_is_what_classes_txt_may_hold():
    counts = np.array([[255, 0, 0, 90], [0, 0, 0, 9], [0, 255, 0, 1]])
    lines = colours.proposal(counts, "classes.txt").splitlines()
    assert lines[1:4] == [
        "    background 0,0,0",
        "    class_1 255,0,0",
        "    class_2 0,255,0",
    ]
    many = np.ones((500, 4), np.int64)
    assert "500 colours are too many to be classes" in colours.proposal(many, "")
    assert "    and 10 more" in colours.proposal(many[:20], "").splitlines()
