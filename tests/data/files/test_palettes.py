"""Palettes of black and white are read by colour, all others by index or not at all."""

import pathlib
import re

import numpy as np
import pytest

from jaxseg.data.files import palettes

BLACK, WHITE, GREY = (0, 0, 0, 255), (255, 255, 255, 255), (128, 128, 128, 255)
RED, GREEN, VOID = (128, 0, 0, 255), (0, 128, 0, 255), (224, 224, 192, 255)
CLEAR = (255, 255, 255, 0)
RAMP = [(k, k, k, 255) for k in range(256)]
COLOUR, INDEX = True, False
SETS = {  # palettes of the masks of a set, classes, how they are read or what is wrong
    "black first": ([{0: BLACK, 1: WHITE}], None, COLOUR),
    "white first": ([{0: WHITE, 1: BLACK}], None, COLOUR),
    "both orders": ([{0: WHITE, 1: BLACK}, {0: BLACK, 1: WHITE}], 2, COLOUR),
    "empty and full": ([{1: BLACK}, {0: WHITE}], None, COLOUR),
    "0 and 255": ([{0: BLACK, 255: WHITE}], None, COLOUR),
    "nearly": ([{0: (250, 250, 250, 255), 3: (9, 9, 9, 255)}], None, COLOUR),
    "black, clear white": ([{0: BLACK, 1: CLEAR}], None, COLOUR),
    "clear white first": ([{0: CLEAR, 1: BLACK}], None, "transparent colour"),
    "VOC": ([{0: BLACK, 1: RED, 255: VOID}, {0: BLACK, 2: GREEN}], 3, INDEX),
    "VOC, one class": ([{0: BLACK, 1: RED}], None, INDEX),
    "VOC, white border": ([{0: BLACK, 1: RED, 255: WHITE}], None, INDEX),
    "white ground": ([{0: WHITE, 1: BLACK, 2: RED}], 3, INDEX),
    "ids as greys": ([dict(enumerate(RAMP[:4])), dict(enumerate(RAMP[:2]))], 4, INDEX),
    "greys": ([{0: BLACK, 1: GREY, 2: WHITE}], 3, INDEX),
    "two of three greys": ([{0: BLACK, 2: WHITE}], 3, INDEX),
    "white of three classes": (
        [{0: WHITE, 1: BLACK}],
        3,
        "brighter colour comes before",
    ),
    "greys that fall": ([{0: WHITE, 1: GREY, 2: BLACK}], 3, "brighter colour comes be"),
    "all greys": ([dict(enumerate(RAMP[::-1]))], None, "brighter colour comes before"),
    "red before black": ([{0: RED, 1: BLACK}], None, "0 is .128, 0, 0., 1 is .0, 0, 0"),
    "border of white first": (
        [{0: WHITE, 1: BLACK, 255: RED}],
        None,
        "brighter colour comes before black",
    ),
    "other order": (
        [{0: BLACK, 1: RED, 2: GREEN}, {0: BLACK, 1: GREEN, 2: RED}],
        3,
        "b1.png has another palette.*index 1 is the colour .0, 128, 0.*b0.png",
    ),
    "other index": (
        [{0: BLACK, 1: RED}, {0: BLACK, 2: RED}],
        3,
        "b1.png has another.*colour .128, 0, 0. is index 2, but 1 in b0.png",
    ),
}


@pytest.mark.parametrize("name", SETS)
def test_one_rule_for_all_masks_of_a_set(name):
    colours, classes, expected = SETS[name]
    paths = [pathlib.Path(f"b{k}.png") for k in range(len(colours))]
    by_colour, problems = palettes.decide(paths, colours, classes=classes)
    if isinstance(expected, str):
        assert len(problems) == 1
        assert re.search(expected, problems[0])
    else:
        assert (by_colour, problems) == (expected, [])


def test_objects_may_have_a_palette_of_their_own():
    paths = [pathlib.Path(f"b{k}.png") for k in range(2)]
    own = [{0: BLACK, 1: RED, 2: GREEN}, {0: BLACK, 1: GREEN, 2: VOID, 3: RED}]
    assert palettes.decide(paths, own, objects=True) == (INDEX, [])
    assert len(palettes.decide(paths, own)[1]) == 1
    own[1] = {0: GREEN, 1: BLACK}
    (problem,) = palettes.decide(paths, own, objects=True)[1]
    assert problem.startswith("b1.png has a palette in which a brighter colour")


def test_colours_become_labels():
    indices = np.array([[0, 3, 3], [5, 0, 5]], np.uint8)
    table = np.array([WHITE, RED, RED, BLACK, RED, WHITE], np.uint8)
    colours = palettes.in_use(indices, table)
    assert colours == {0: WHITE, 3: BLACK, 5: WHITE}
    for white in (1, 255):
        mask = palettes.by_colour(indices, colours, white)
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, [[white, 0, 0], [white, white, white]])
