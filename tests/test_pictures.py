"""Colours of classes and of errors, and the picture that a log gets."""

import numpy as np
import pytest

from jaxseg import pictures
from jaxseg.report.run import cases

# OKLab: Ottosson, 2020, https://bottosson.github.io/posts/oklab/
_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
# what is seen of linear RGB: Machado et al., 2009, table 1, severity 1
_EYES = {
    "normal": np.eye(3),
    "protanope": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranope": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


def _seen(colours, eyes):
    c = np.array(colours) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.transpose(_EYES[eyes]), 0, 1)
    return np.cbrt(linear @ _CONES.T) @ _OKLAB.T


def _distances(first, second, eyes):
    a, b = _seen(first, eyes), _seen(second, eyes)
    return np.linalg.norm(a[:, None] - b[None], axis=-1)


def test_the_distance_is_that_of_the_source():
    """White is (1, 0, 0) and red (0.628, 0.225, 0.126), as published for OKLab."""
    seen = _seen([(255, 255, 255), (255, 0, 0)], "normal")
    np.testing.assert_allclose(seen, [[1, 0, 0], [0.628, 0.225, 0.126]], atol=1e-3)


@pytest.mark.parametrize(
    ("eyes", "classes_apart", "errors_apart"),
    [("normal", 0.1, 0.13), ("protanope", 0.055, 0.09), ("deuteranope", 0.055, 0.09)],
)
def test_up_to_twenty_classes_and_errors_differ(eyes, classes_apart, errors_apart):
    colours, errors = pictures.class_colours(20), list(pictures.ERRORS.values())
    apart = _distances(colours, colours, eyes) + np.eye(20)
    assert apart.min() >= classes_apart
    assert _distances(errors, colours, eyes).min() >= errors_apart
    assert (_distances(errors, errors, eyes) + np.eye(4)).min() >= 0.3


def test_the_colours_of_two_classes_are_no_errors():
    errors = [(0, 158, 115), (230, 60, 20), (240, 228, 66), *pictures.COLOURS.values()]
    assert _distances(pictures.class_colours(1), errors, "normal").min() > 0.13


@pytest.mark.parametrize("eyes", _EYES)
def test_truth_and_errors_of_two_classes_differ_in_a_report(eyes):
    colours = [cases.RIGHT, cases.EXTRA, cases.MISSED, *pictures.class_colours(1)]
    assert (_distances(colours, colours, eyes) + np.eye(4)).min() >= 0.1


def test_many_classes_have_many_colours_and_none_of_an_error():
    colours = pictures.class_colours(254)
    assert len(set(colours)) == 254
    assert not set(colours) & set(pictures.ERRORS.values())
    assert all(0 <= part <= 255 for colour in colours for part in colour)
    assert pictures.class_colours(3) == colours[:3]


def test_every_labelled_pixel_has_its_one_error():
    mask = np.array([[0, 0, 1, 1, 1, 255, 255]], np.uint8)
    prediction = np.array([[0, 2, 0, 1, 2, 0, 2]], np.uint8)
    areas = pictures.error_areas(mask, prediction)
    assert {name: np.flatnonzero(area).tolist() for name, area in areas.items()} == {
        "right": [3],
        "confused": [4],
        "extra": [1],
        "missed": [2],
    }


def test_a_log_shows_classes_errors_and_what_colours_mean():
    image = np.full((40, 64, 1), 100, np.uint8)
    mask, prediction = np.zeros((2, 40, 64), np.uint8)
    mask[:, :32], prediction[:20] = 1, 2
    picture = pictures.logged(image, mask, prediction, ["none", "a", "bäh"])
    first, second = (np.array(c) for c in pictures.class_colours(2))
    pale = pictures.pale(image.repeat(3, -1))[0, 0]
    expected = {  # (row, column) -> colour
        (0, 0): [100] * 3,
        (0, 64): np.rint((100 + first) / 2),
        (0, 64 + 40): [100] * 3,
        (0, 128): np.rint((100 + second) / 2),
        (30, 128): [100] * 3,
        **{
            at: np.rint(0.25 * pale + 0.75 * np.array(pictures.ERRORS[name]))
            for at, name in {
                (0, 192): "confused",
                (0, 192 + 40): "extra",
                (30, 192): "missed",
            }.items()
        },
        (30, 192 + 40): pale,
    }
    for at, colour in expected.items():
        np.testing.assert_allclose(picture[at], colour, atol=1, err_msg=str(at))
    legend = picture[40:].reshape(-1, 3).tolist()
    assert picture.shape[1] == 4 * 64 and picture.shape[0] > 40
    for colour in (first, second, *pictures.ERRORS.values()):
        assert list(colour) in legend


def test_colours_of_an_image_are_taken_for_no_class():
    image = np.zeros((8, 8, 3), np.uint8) + np.array([30, 90, 240], np.uint8)
    mask = np.zeros((8, 8), np.uint8)
    picture = pictures.logged(image, mask, mask, ["none", "a", "b"])
    np.testing.assert_array_equal(picture[0, :8], image[0])
    assert (picture[:8, 8:24] == 120).all()  # their mean
    assert (np.ptp(picture[:8, 24:].astype(int), axis=-1) == 0).all()


def test_a_log_of_two_classes_is_the_triptych():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (8, 8, 3), np.uint8)
    mask, prediction = rng.integers(0, 2, (2, 8, 8), np.uint8)
    drawn = pictures.logged(image, mask, prediction, ["none", "a"])
    np.testing.assert_array_equal(drawn, pictures.triptych(image, mask, prediction))
