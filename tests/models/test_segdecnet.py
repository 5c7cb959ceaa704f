"""SegDecNet and SegDecNet++: counts, sizes, norm, transposed convolution."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.errors import ConfigError
from jaxseg.losses import coarse_cross_entropy
from jaxseg.models import _decided, _feature_norm, _heads, segdecnet

SMALL = {**segdecnet.TINY, "decoder": False}
WHOLE = functools.partial(_decided.Decided, decision=_heads.SegDec())


def shapes(model, size=(64, 64), channels=3):
    """(outputs, parameters) of one image, as shapes."""
    image = jnp.zeros((1, *size, channels))
    run = functools.partial(model.init_with_output, train=False)
    outputs, variables = jax.eval_shape(run, jax.random.key(0), image)
    return outputs, variables["params"]


def count(tree) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    "fields, total",
    [
        ({}, 15_638_812),
        ({"decoder": True}, 16_151_836),
        ({"decoder": True, "skip_modules": True}, 16_179_804),
    ],
)
def test_the_numbers_of_parameters_are_the_published_ones(fields, total):
    _, params = shapes(WHOLE(segdecnet.Model(2, **fields)))
    assert count(params["encoder"]) == 15_416_608
    assert count(params["decision"]) == 221_179
    assert count(params) == total


def test_the_maps_of_an_image_of_640x232_have_the_published_sizes():
    outputs, _ = shapes(segdecnet.Model(2), (640, 232))
    assert outputs["features"].shape == (1, 80, 29, 1024)
    assert outputs["coarse_logits"].shape == (1, 80, 29, 2)
    assert outputs["logits"].shape == (1, 640, 232, 2)
    x, sizes = jnp.zeros((1, 80, 29, 1)), []
    for _ in range(3):
        x = _heads.halved(x)
        sizes.append(x.shape[1:3])
    assert sizes == [(40, 14), (20, 7), (10, 3)]


@pytest.mark.parametrize("size", [(8, 8), (9, 17), (33, 50), (1, 40), (64, 23)])
@pytest.mark.parametrize("decoder", [False, True])
def test_sizes_that_8_does_not_divide_are_as_good_as_others(size, decoder):
    model = segdecnet.Model(2, **{**segdecnet.TINY, "decoder": decoder})
    outputs, _ = shapes(model, size)
    cells = tuple(-(-n // 8) for n in size)
    assert outputs["logits"].shape == (1, *size, 2)
    assert outputs["features"].shape[1:3] == cells
    assert ("coarse_logits" in outputs) != decoder
    if not decoder:  # the grid of the loss
        assert outputs["coarse_logits"].shape == (1, *cells, 2)
        mask = jnp.zeros((1, *size), jnp.int32)
        run = functools.partial(coarse_cross_entropy.loss, mask=mask)
        assert jax.eval_shape(run, outputs["coarse_logits"]).shape == (1,)


@pytest.mark.parametrize(
    "sqrt_of, values",
    [
        ("std", [-1.827288, -1.096373, -0.365458]),
        ("var", [-1.336115, -0.801669, -0.267223]),
    ],
)
def test_the_norm_of_1_to_6_by_hand(sqrt_of, values):
    x = jnp.arange(1.0, 7.0).reshape(1, 2, 3, 1)
    norm = _feature_norm.FeatureNorm(sqrt_of=sqrt_of)
    y, variables = norm.init_with_output(jax.random.key(0), x)
    expected = np.array([*values, *(-v for v in values[::-1])])
    np.testing.assert_allclose(y.ravel(), expected, atol=5e-7)
    assert variables["params"]["scale"].shape == variables["params"]["bias"].shape
    doubled = jax.tree.map(lambda p: 2 * p + 1, variables)
    np.testing.assert_allclose(norm.apply(doubled, x), 3 * y + 1, rtol=1e-6)


@pytest.mark.parametrize("sqrt_of", ["std", "var"])
@pytest.mark.parametrize("shape", [(1, 4, 5, 2), (1, 1, 1, 2)])
def test_a_channel_without_contrast_becomes_0_and_its_gradient_is_finite(
    sqrt_of, shape
):
    norm = _feature_norm.FeatureNorm(sqrt_of=sqrt_of, use_bias=False)
    x = jnp.full(shape, 3.0)
    variables = norm.init(jax.random.key(0), x)
    assert set(variables["params"]) == {"scale"}
    slope = jax.grad(lambda x: jnp.sum(jnp.sin(norm.apply(variables, x))))(x)
    assert not norm.apply(variables, x).any() and np.isfinite(slope).all()


def test_a_transposed_convolution_of_80_is_163_cut_to_160():
    """Against the definition: a dilated convolution, cut by 2 and 1 pixels."""
    module = segdecnet.Double(3, jnp.float32)
    x = jax.random.normal(jax.random.key(0), (2, 80, 7, 4))
    y, variables = jax.jit(module.init_with_output)(jax.random.key(1), x)
    kernel = variables["params"]["kernel"]
    whole = jax.lax.conv_general_dilated(
        x,
        kernel[::-1, ::-1],
        (1, 1),
        ((4, 4), (4, 4)),
        lhs_dilation=(2, 2),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    assert whole.shape == (2, 163, 17, 3)
    assert y.shape == (2, 160, 14, 3)
    np.testing.assert_allclose(y, whole[:, 2:-1, 2:-1], atol=2e-5)
    for double in (segdecnet.double_by_product, segdecnet.double_by_places):
        y = jax.jit(double)(x, kernel)
        np.testing.assert_allclose(y, whole[:, 2:-1, 2:-1], atol=2e-5)


def test_logits_between_cells_lie_where_their_soft_labels_were_measured():
    """A square comes back where it was: the middle of the enlarged label is its own."""
    mask = np.zeros((1, 96, 72, 1), np.float32)
    mask[:, 30:50, 20:44] = 1
    cells = coarse_cross_entropy.soft(jnp.asarray(mask))
    large = np.asarray(segdecnet.enlarge(cells))[0, ..., 0]
    assert large.shape == (96, 72)
    for axis, middle in ((0, 39.5), (1, 31.5)):
        along = large.sum(1 - axis)
        place = (np.arange(along.size) * along).sum() / along.sum()
        assert abs(place - middle) < 0.5
    np.testing.assert_allclose(large[::8, ::8], cells[0, ..., 0], rtol=1e-6)
    np.testing.assert_allclose(large[-8:], large[-8:-7].repeat(8, 0), rtol=1e-6)


def test_logits_have_the_mean_0_unless_they_learn_a_shift():
    image = jax.random.normal(jax.random.key(0), (2, 24, 16, 3))
    for shift in (False, True):
        model = segdecnet.Model(2, **SMALL | {"mask_shift": shift})
        variables = jax.jit(functools.partial(model.init, train=False))(
            jax.random.key(1), image
        )
        variables = jax.tree.map(lambda p: p + 0.5, variables)
        out = jax.jit(functools.partial(model.apply, train=True))(variables, image)
        assert not out["coarse_logits"][..., 0].any()
        mean = out["coarse_logits"][..., 1].mean((1, 2))
        np.testing.assert_allclose(mean, 0.5 * shift, atol=1e-5)


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"widths": (4, 4, 4)}, "widths is .* must hold 4 numbers"),
        ({"repeats": (1, 0, 1, 1)}, "repeats is"),
        ({"decoder_widths": (4,)}, "decoder_widths is .* must hold 3"),
        ({"top_kernel": 4}, "top_kernel is 4: give an odd number"),
        ({"sqrt_of": "mean"}, "sqrt_of is 'mean': use one of 'std', 'var'"),
        ({"eps": 0.0}, "eps is 0.0: it must be above 0"),
    ],
)
def test_fields_that_are_no_choice_are_refused(fields, words):
    with pytest.raises(ConfigError, match=words):
        shapes(segdecnet.Model(2, **segdecnet.TINY | fields))
