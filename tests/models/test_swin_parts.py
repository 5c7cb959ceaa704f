"""Windows, shifts, position bias, pooling and resizing, against slow plain code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models import _layers, _swin


def test_windows_are_row_by_row_and_come_back():
    x = jnp.arange(2 * 4 * 6 * 3.0).reshape(2, 4, 6, 3)
    windows = _swin.to_windows(x, 2)
    assert windows.shape == (2, 6, 4, 3)
    np.testing.assert_array_equal(windows[1, 4], x[1, 2:4, 2:4].reshape(4, 3))
    np.testing.assert_array_equal(_swin.from_windows(windows, 4, 6), x)


def test_shift_regions_by_hand():
    # A 4x4 map, window 2, shift 1: after the shift the last row came from the top and
    # the last column from the left. Numbers: 3 x row region + column region.
    #   0 0 | 1 2        rows and columns 0..1 are region 0,
    #   0 0 | 1 2        row or column 2 is region 1, 3 is region 2
    #   ----+----
    #   3 3 | 4 5
    #   6 6 | 7 8
    want = [[0, 0, 0, 0], [1, 2, 1, 2], [3, 3, 6, 6], [4, 5, 7, 8]]
    np.testing.assert_array_equal(_swin.shift_regions(4, 4, 2, 1), want)


@pytest.mark.parametrize("window", [1, 2, 3, 7])
def test_position_bias_is_looked_up_by_difference(window):
    w = window
    table = np.random.default_rng(0).normal(size=(2 * w - 1, 2 * w - 1, 2))
    bias = np.asarray(_swin.position_bias(jnp.asarray(table, jnp.float32)))
    for q in range(w * w):
        for k in range(w * w):
            (a, b), (c, d) = divmod(q, w), divmod(k, w)
            want = table[a - c + w - 1, b - d + w - 1]
            np.testing.assert_allclose(bias[:, q, k], want, rtol=1e-6)


def test_a_shifted_window_sees_only_true_neighbours():
    # With window 4 and shift 2, pixel (0, 0) of an 8x8 map shares its shifted window
    # with rows and columns 0..1 only: across the edge everything is masked.
    attention = _swin.WindowAttention(1, 4, 2, jnp.float32)
    x = jax.random.normal(jax.random.key(0), (1, 8, 8, 4))
    params = jax.jit(attention.init)(jax.random.key(1), x)
    params = jax.tree.map(lambda p: p * 20, params)

    def corner(x):
        return attention.apply(params, x)[0, 0, 0].sum()

    seen = np.abs(jax.jit(jax.grad(corner))(x)[0]).sum(-1) > 1e-12
    want = np.zeros((8, 8), bool)
    want[:2, :2] = True
    np.testing.assert_array_equal(seen, want)


def test_stochastic_depth_keeps_the_mean():
    swin = _swin.Swin(4, (1, 2), (2, 2), 2, drop_path=0.5)
    streams = {"dropout": jax.random.key(0)}
    scales = swin.apply({}, 4000, method="_branch_scales", rngs=streams)
    assert list(scales) == [1, 2]  # the first block always has its branches
    for block, keep in {1: 0.75, 2: 0.5}.items():
        assert set(np.unique(scales[block])) == {0.0, np.float32(1 / keep)}
        np.testing.assert_allclose(scales[block].mean(1), 1.0, atol=0.1)
    together = np.corrcoef(np.concatenate([scales[1], scales[2]]))
    assert np.abs(together - np.eye(4)).max() < 0.1  # each branch is drawn for itself


def test_a_block_whose_branches_are_left_out_is_the_identity():
    block = _swin.Block(2, 2, 0, jnp.float32)
    x = jax.random.normal(jax.random.key(0), (3, 4, 4, 2))
    variables = block.init(jax.random.key(1), x)
    scales = jnp.array([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    left_out, half, whole = block.apply(variables, x, scales)
    np.testing.assert_array_equal(left_out, x[0])
    assert (half != x[1]).all()
    np.testing.assert_array_equal(whole, block.apply(variables, x)[2])


def test_stochastic_depth_grows_linearly_with_depth():
    np.testing.assert_allclose(_swin.drop_rates(0.4, 5), [0, 0.1, 0.2, 0.3, 0.4])
    assert _swin.drop_rates(0.4, 1) == [0.0]


def test_gelu_is_the_exact_one():
    x = jnp.linspace(-6.0, 6.0, 101)
    want = jax.nn.gelu(x, approximate=False)
    np.testing.assert_allclose(_swin.gelu(x), want, atol=1e-6)


def test_rematerialisation_changes_no_name_and_no_number():
    image = jax.random.normal(jax.random.key(0), (1, 12, 12, 1))
    plain, again = (
        _swin.Swin(4, (2,), (2,), 2, drop_path=0.5, remat=remat)
        for remat in (False, True)
    )
    variables = plain.init(jax.random.key(1), image, train=False)

    def value(variables, model):
        streams = {"dropout": jax.random.key(2)}
        return jnp.sum(model.apply(variables, image, train=True, rngs=streams)[0] ** 3)

    gradient = jax.grad(value)
    again_text = str(jax.make_jaxpr(gradient, 1)(variables, again))
    assert "remat" in again_text or "checkpoint" in again_text
    assert "remat" not in str(jax.make_jaxpr(gradient, 1)(variables, plain))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        jax.jit(gradient, static_argnums=1)(variables, plain),
        jax.jit(gradient, static_argnums=1)(variables, again),
    )


def test_adaptive_bins_by_hand():
    x = jnp.arange(16.0)[None, :, None, None] * jnp.ones((1, 1, 16, 1))
    three = [2.5, 7.5, 12.5]  # bins (0, 6) (5, 11) (10, 16)
    np.testing.assert_allclose(
        _layers.adaptive_pool(x, 3)[0, :, 0, 0], three, rtol=1e-6
    )
    six = [1, 3.5, 6, 9, 11.5, 14]  # (0, 3) (2, 6) (5, 8) (8, 11) (10, 14) (13, 16)
    np.testing.assert_allclose(_layers.adaptive_pool(x, 6)[0, :, 2, 0], six, rtol=1e-6)
    one = _layers.pool_matrix(2, 6)  # more bins than pixels: pixels are repeated
    np.testing.assert_array_equal(one.argmax(1), [0, 0, 0, 1, 1, 1])


@pytest.mark.parametrize("shape", [(12, 14), (3, 5), (24, 3), (7, 7), (1, 1)])
def test_resize_equals_jax_image(shape):
    x = jax.random.normal(jax.random.key(0), (2, 6, 7, 3))
    want = jax.image.resize(x, (2, *shape, 3), "bilinear", antialias=False)
    np.testing.assert_allclose(_layers.resize(x, shape), want, atol=2e-6)


def test_batch_norm_at_a_single_value_is_finite():
    norm = _layers.BatchNorm()
    x = jnp.full((1, 1, 1, 2), 3.0)
    variables = norm.init(jax.random.key(0), x, train=True)

    def value(x):
        return norm.apply(variables, x, train=True, mutable=["batch_stats"])[0].sum()

    assert np.isfinite(jax.grad(value)(x)).all()
    assert float(value(x)) == 0.0
