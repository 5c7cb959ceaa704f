"""Clicks move with the image: none is repeated, and none lost inside the frame."""

import functools

import jax
import numpy as np
import pytest

from jaxseg.data import augment
from jaxseg.types import IGNORE

SIZE = 48
WARPS = {
    "turn": dict(rotate_degrees=180.0),
    "shrink": dict(scale=(0.55, 0.7)),
    "grow": dict(scale=(1.4, 2.0)),
    "all": dict(rotate_degrees=90.0, scale=(0.6, 1.6), shear_degrees=10.0, shift=0.1),
    "bend": dict(elastic_pixels=4.0, rotate_degrees=20.0),
    "flip": dict(flip_horizontal=0.5, flip_vertical=0.5),
}


def clicks():
    """One image a click (its brightness is a bump there) and the sparse mask."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE]
    image = np.zeros((24, SIZE, SIZE, 1), np.float32)
    mask = np.full((24, SIZE, SIZE), IGNORE, np.uint8)
    for i in range(24):
        row, column = rng.integers(14, SIZE - 14, 2)
        image[i, ..., 0] = np.exp(-((y - row) ** 2 + (x - column) ** 2) / 18)
        mask[i, row, column] = i % 2
    return image, mask


@pytest.mark.parametrize("name", WARPS)
def test_a_click_stays_one_click_on_what_it_marked(name):
    image, mask = clicks()
    run = functools.partial(augment.augment, sparse=True, **WARPS[name])
    moved, found = jax.jit(run)(image, mask, jax.random.key(3))
    for i in range(len(mask)):
        places = np.argwhere(found[i] != IGNORE)
        assert len(places) == 1, "repeated or lost"
        assert found[i][tuple(places[0])] == i % 2
        bump = np.unravel_index(np.argmax(moved[i, ..., 0]), (SIZE, SIZE))
        assert np.abs(places[0] - bump).max() <= 1


def test_many_clicks_keep_their_number_and_the_dense_warp_does_not():
    rng = np.random.default_rng(1)
    mask = np.full((6, 64, 64), IGNORE, np.uint8)
    places = np.argwhere(np.ones((8, 8)))[None] * 4 + 16  # far apart, near the centre
    for i in range(6):
        for y, x in places[0]:
            mask[i, y, x] = rng.integers(0, 3)
    image = np.zeros((6, 64, 64, 1), np.float32)
    kwargs = dict(rotate_degrees=45.0, scale=(0.7, 1.3))
    key = jax.random.key(0)
    _, sparse = augment.augment(image, mask, key, sparse=True, **kwargs)
    _, dense = augment.augment(image, mask, key, **kwargs)
    for i in range(6):
        want = np.bincount(mask[i].ravel(), minlength=256)[:3]
        got = np.bincount(np.asarray(sparse[i]).ravel(), minlength=256)[:3]
        np.testing.assert_array_equal(got, want)
    assert any((np.asarray(dense[i]) != IGNORE).sum() != 64 for i in range(6))


def test_nothing_labelled_stays_nothing():
    mask = np.full((2, 16, 16), IGNORE, np.uint8)
    image = np.zeros((2, 16, 16, 1), np.float32)
    key = jax.random.key(0)
    _, found = augment.augment(image, mask, key, sparse=True, rotate_degrees=30.0)
    assert (found == IGNORE).all()
