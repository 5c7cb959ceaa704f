"""Object ids move with the mask to the last bit, whatever the augmentation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_augment import GEOMETRY, TONE, blobs, run

from jaxseg.data import augment
from jaxseg.types import IGNORE

FLIPS = {"flip_horizontal": 0.5, "flip_vertical": 0.5}
CASES = {
    "off": {},
    "flips": FLIPS,
    "warp": GEOMETRY | TONE,
}


@pytest.mark.parametrize("name", CASES)
def test_ids_move_with_the_mask_and_change_nothing_else(name):
    image, mask = blobs(batch=3)
    numbers = np.random.default_rng(0).integers(0, 9, mask.shape)
    mask = jnp.asarray(np.where(mask == IGNORE, IGNORE, numbers).astype(np.uint8))
    # an id for each class, one of them negative: u32 ids above 2^31 are
    names = np.array([0, 70_000, -5, 3, 9, 2**31 - 1, 4, 8, 2], np.int32)
    ids = jnp.asarray(np.where(mask == IGNORE, 0, names[np.minimum(mask, 8)]))
    settings = CASES[name]
    key = jax.random.key(3)
    call = jax.jit(lambda i, m, o: augment.augment(i, m, key, instances=o, **settings))
    changed, moved, of_objects = map(np.asarray, call(image, mask, ids))
    alone = run(image, mask, **settings)
    np.testing.assert_array_equal(changed, alone[0])
    np.testing.assert_array_equal(moved, alone[1])
    assert of_objects.dtype == np.int32
    expected = np.where(moved == IGNORE, 0, names[np.minimum(moved, 8)])
    np.testing.assert_array_equal(of_objects, expected)
    if name != "off":
        assert (np.asarray(ids) != of_objects).any()
