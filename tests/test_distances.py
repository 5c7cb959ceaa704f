"""Distances to what is not of the same object, by brute force and by scipy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage
from support import label_maps

from jaxseg import distances


@functools.cache
def compiled(reach):
    return jax.jit(functools.partial(distances.to_other, reach=reach))


def blobs(seed: int, size=(41, 30)) -> np.ndarray:
    """i32 [2, h, w]: touching objects of several depths."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(2, *size)), (0, 3, 3))
    return np.digitize(smooth, (0.0, 0.05, 0.1)).astype(np.int32)


@pytest.mark.parametrize("reach", [None, 1, 4])
def test_distances_of_touching_objects_are_those_of_brute_force(reach):
    ids = np.concatenate([blobs(0), blobs(1)])
    found = np.asarray(compiled(reach)(ids))
    assert found.max() > (4 if reach is None else reach - 0.1)
    for one, own in zip(ids, found, strict=True):
        exact = label_maps.distance(one)
        cut = exact if reach is None else np.minimum(exact, reach)
        np.testing.assert_array_equal(own, cut.astype(np.float32))


@pytest.mark.parametrize("shape", [(60, 7), (7, 60), (33, 33), (1, 9), (9, 1)])
def test_deep_objects_are_measured_whole(shape):
    """A foreground with one pixel of background, at every kind of place."""
    for place in ((0, 0), (shape[0] // 2, shape[1] // 3), (-1, -1)):
        ids = np.ones((1, *shape), np.int32)
        ids[0][place] = 0
        exact = ndimage.distance_transform_edt(ids[0]).astype(np.float32)
        np.testing.assert_array_equal(compiled(None)(ids)[0], exact)


def test_an_image_of_one_object_is_as_deep_as_it_is_large_and_no_object_is_0():
    ids = np.stack([np.ones((5, 8), np.int32), np.zeros((5, 8), np.int32)])
    found = np.asarray(compiled(None)(ids))
    assert (found[0] == 13).all() and (found[1] == 0).all()


def test_an_image_does_not_depend_on_the_others_of_its_batch():
    ids = blobs(3)
    deep = np.ones_like(ids[:1])
    alone = compiled(None)(ids)
    np.testing.assert_array_equal(
        compiled(None)(jnp.concatenate([ids, deep]))[:2], alone
    )
