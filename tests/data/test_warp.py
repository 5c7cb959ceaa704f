"""The warp itself: places worked by hand, and an elastic field that cannot fold."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.data import _warp, augment_settings
from jaxseg.types import IGNORE


def test_the_warp_by_hand():
    image = jnp.arange(25, dtype=jnp.float32).reshape(1, 5, 5, 1)
    mask = jnp.arange(25).reshape(1, 5, 5)

    def warp(angle=0.0, zoom=1.0, shear=0.0, shift=(0.0, 0.0)):
        one = jnp.asarray([angle]), jnp.log(jnp.asarray([zoom])), jnp.asarray([shear])
        matrix = _warp.matrices(*one, jnp.ones((1, 2)))
        place = _warp.source(_warp.grid(5, 5)[None], matrix, jnp.asarray([shift]))
        moved = _warp.sample(image, mask, place)
        return np.asarray(moved[0][0, ..., 0]), np.asarray(moved[1][0])

    for got in warp(angle=jnp.pi / 2):  # a quarter turn clockwise
        np.testing.assert_allclose(
            got, np.rot90(np.arange(25).reshape(5, 5), -1), atol=1e-4
        )
    got = warp(shift=(1.0, -2.0))[1]  # one down, two to the left
    np.testing.assert_array_equal(got[1:, :3], np.arange(25).reshape(5, 5)[:4, 2:])
    assert (got[0] == IGNORE).all() and (got[:, 3:] == IGNORE).all()
    got = warp(zoom=2.0)[0]  # twice as large: the middle stays, steps are halves
    np.testing.assert_allclose(got[2], [11, 11.5, 12, 12.5, 13], rtol=1e-6)
    np.testing.assert_allclose(got[:, 2], [7, 9.5, 12, 14.5, 17], rtol=1e-6)
    got = warp(shear=1.0)[0]  # row y of the result comes from x + y
    np.testing.assert_allclose(got[1, 1:], [5, 6, 7, 8], rtol=1e-6)
    np.testing.assert_allclose(got[3, :4], [16, 17, 18, 19], rtol=1e-6)


def test_the_elastic_field_is_bounded_and_never_folds():
    cells, height, width = 3, 48, 60
    limit = augment_settings.FOLD_FREE * height / cells
    corners = jax.random.rademacher(
        jax.random.key(0), (64, 2, cells + 3, cells + 3), jnp.float32
    )
    field = np.asarray(_warp.elastic_field(limit * corners, height, width))
    assert 0.5 * limit < np.abs(field).max() <= limit * (1 + 1e-6)
    same = _warp.elastic_field(jnp.full((1, 2, 6, 6), 2.0), height, width)
    np.testing.assert_allclose(same, 2.0, rtol=1e-6)
    down, right = np.diff(field, axis=2)[..., :-1], np.diff(field, axis=3)[:, :, :-1]
    area = (1 + down[:, 0]) * (1 + right[:, 1]) - down[:, 1] * right[:, 0]
    assert area.min() > 0
