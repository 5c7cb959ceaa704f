"""U-Net, Attention U-Net, Attention ResUNet: exact counts, wiring, gates by hand."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.errors import ConfigError
from jaxseg.models import _unet, attention_resunet, attention_unet, unet

UNETS = [unet, attention_unet, attention_resunet]


def shapes_of(model, size=64):
    init = functools.partial(model.init, train=False)
    return jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, size, size, 3)))


def count(tree):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    "module, fields, published",
    [
        (unet, {}, 31_402_501),
        (attention_unet, dict(gate_conv=True), 37_334_665),
        (attention_resunet, dict(gate_conv=True), 39_090_377),
    ],
)
def test_counts_are_those_of_the_published_keras_networks(module, fields, published):
    """As Keras counts: parameters and running statistics together.

    Those networks take 3 channels, give 1, upsample by "nearest", have a bias in every
    convolution though a norm follows, and a batch norm of 4 numbers behind the head.
    """
    fields = dict(up="nearest", conv_bias=True, **fields)
    shapes = shapes_of(module.Model(1, head_norm=True, **fields))
    assert count(shapes["params"]) + count(shapes["batch_stats"]) == published
    assert count(shapes_of(module.Model(1, **fields))) == published - 4


def test_count_of_the_unet_of_the_paper():
    """31 M parameters of Ronneberger et al., worked out by hand; here without biases.

    Each 3x3 convolution has 9 in out, each norm 2 out, each transposed convolution
    4 in out + out, the head 64 k + k.
    """
    widths = (64, 128, 256, 512, 1024)
    total, before = 0, 1
    for width in widths:
        total += 9 * (before * width + width * width) + 4 * width
        before = width
    for width in widths[-2::-1]:
        total += 4 * before * width + width
        total += 9 * (2 * width * width + width * width) + 4 * width
        before = width
    image = jnp.zeros((1, 32, 32, 1))
    init = functools.partial(unet.Model(2).init, train=False)
    shapes = jax.eval_shape(init, jax.random.key(0), image)
    assert count(shapes["params"]) == total + 64 * 2 + 2


NNUNET = dict(
    norm="instance",
    activation="leaky_relu",
    down="strided",
    conv_bias=True,
    deep_supervision=True,
)


@pytest.mark.parametrize("widths", [(32, 64, 128, 256, 512, 512), (4, 6, 8, 10)])
def test_count_of_the_plain_unet_of_nnunet(widths):
    """`PlainConvUNet` of dynamic_network_architectures, in 2D, with its own heads.

    Two 3x3 convolutions a stage, with biases, each before an affine instance norm; the
    first of a stage has stride 2. Transposed convolutions of 2x2 with bias, logits by
    1x1 at every level of the decoder. nnU-Net gives the coarsest ones the weight 0; we
    do not have them.
    """
    total, before, k = 0, 3, 5
    for width in widths:
        for c in (before, width):
            total += 9 * c * width + width + 2 * width
        before = width
    for width in widths[-2::-1]:
        total += 4 * before * width + width
        for c in (2 * width, width):
            total += 9 * c * width + width + 2 * width
        total += width * k + k
        before = width
    params = shapes_of(unet.Model(k, widths=widths, **NNUNET))["params"]
    assert count(params) == total - (widths[-2] * k + k)
    heads = {name for name in params if name.startswith("head")}
    assert heads == {"head", *(f"head{i}" for i in range(2, len(widths) - 1))}


@pytest.mark.parametrize("module", UNETS)
def test_deep_supervision_gives_logits_of_the_levels_but_the_coarsest(module):
    model = module.Model(3, widths=(4, 4, 4, 4, 4), **NNUNET)
    image = jnp.zeros((1, 33, 50, 2))
    init = functools.partial(model.init_with_output, train=False)
    out, _ = jax.eval_shape(init, jax.random.key(0), image)
    assert out["logits"].shape == (1, 33, 50, 3)
    assert [x.shape for x in out["deep"]] == [(1, 17, 25, 3), (1, 9, 13, 3)]
    assert {x.dtype for x in out["deep"]} == {jnp.dtype("float32")}


def test_strided_levels_see_what_pytorch_sees_and_have_the_same_parameters():
    """Stride 2 with one pixel of padding: output i is centred on input 2i."""
    style = _unet.Style(convs=1, norm="none")
    pooled = _unet.Encoder((1, 1), style)
    strided = _unet.Encoder((1, 1), style, "strided")
    x = jnp.zeros((1, 8, 8, 1)).at[0, 4, 2].set(1.0)
    variables = pooled.init(jax.random.key(0), x, train=False)
    shapes = functools.partial(jax.tree.map, jnp.shape)
    assert shapes(strided.init(jax.random.key(0), x, train=False)) == shapes(variables)
    middle = jnp.zeros((3, 3, 1, 1)).at[1, 1].set(1.0)
    params = jax.tree.map(lambda kernel: middle, variables)
    fine, coarse = strided.apply(params, x, train=False)
    np.testing.assert_array_equal(fine, x)
    np.testing.assert_array_equal(coarse, x[:, ::2, ::2])


def test_leaky_relu_lets_a_hundredth_through():
    block = _unet.Block(1, _unet.Style(convs=1, norm="none", activation="leaky_relu"))
    x = jnp.array([-2.0, 3.0]).reshape(1, 1, 2, 1)
    variables = block.init(jax.random.key(0), x, train=False)
    middle = jnp.zeros((3, 3, 1, 1)).at[1, 1].set(1.0)
    got = block.apply(jax.tree.map(lambda _: middle, variables), x, train=False)
    np.testing.assert_allclose(got.ravel(), [-0.02, 3.0], rtol=1e-6)


@pytest.mark.parametrize("levels", [4, 5, 6])
@pytest.mark.parametrize("norm", ["batch", "group", "instance"])
@pytest.mark.parametrize("up", ["transposed", "bilinear", "nearest"])
def test_all_fields_give_logits_of_the_size_of_the_image(levels, norm, up):
    module = UNETS[levels % 3]
    model = module.Model(3, widths=(4,) * levels, norm=norm, up=up, convs=levels - 3)
    out, variables = jax.eval_shape(
        functools.partial(model.init_with_output, train=False),
        jax.random.key(0),
        jnp.zeros((1, 33, 50, 2)),
    )
    assert out["logits"].shape == (1, 33, 50, 3)
    assert ("batch_stats" in variables) == (norm == "batch")
    assert len(variables["params"]["encoder"]) == levels
    level = variables["params"]["encoder"]["level1"]
    assert sum(name.endswith("conv") for name in level if name[0] == "l") == levels - 3


def test_each_skip_reaches_the_logits_and_ends_at_its_level():
    """The channels that each level takes in, and gradients of every map."""
    style = _unet.Style(convs=1, norm="none")
    decoder = _unet.Decoder((3, 2), style, "nearest")
    features = [jnp.ones((1, 8, 8, 2)), jnp.ones((1, 4, 4, 3)), jnp.ones((1, 2, 2, 4))]
    variables = decoder.init(jax.random.key(0), features, train=False)
    shapes = jax.tree.map(jnp.shape, variables["params"])
    # upsampled channels + those of the skip, in; the level's width, out
    assert shapes["level2"]["layer1_conv"]["kernel"] == (3, 3, 4 + 3, 3)
    assert shapes["level1"]["layer1_conv"]["kernel"] == (3, 3, 3 + 2, 2)

    def total(features):
        return jnp.sum(decoder.apply(variables, features, train=False)[0])

    assert all(np.abs(g).max() > 0 for g in jax.grad(total)(features))
    without = [None, *features[1:]]
    variables = decoder.init(jax.random.key(0), without, train=False)
    kernel = variables["params"]["level1"]["layer1_conv"]["kernel"]
    assert kernel.shape == (3, 3, 3, 2)


def test_a_gate_by_hand():
    """One channel, weights of one: skip times sigmoid(relu(sum of 2x2 + coarse))."""
    gate = _unet.Gate(1, _unet.Style(norm="none"), extra_conv=False)
    skip = jnp.array([[1.0, -2.0], [3.0, 0.5]])[None, :, :, None]
    coarse = jnp.array(0.25).reshape(1, 1, 1, 1)
    variables = gate.init(jax.random.key(0), skip, coarse, train=False)
    one = jax.tree_util.tree_map_with_path(
        lambda path, x: jnp.full_like(x, path[-1].key == "kernel"), variables
    )
    share = 1 / (1 + math.exp(-(1.0 - 2.0 + 3.0 + 0.5 + 0.25)))
    got = gate.apply(one, skip, coarse, train=False)
    np.testing.assert_allclose(got, skip * share, rtol=1e-6)
    # theta and phi that cancel or fall below zero leave psi's bias: a half
    closed = gate.apply(one, -skip, -coarse, train=False)
    np.testing.assert_allclose(closed, -skip / 2, rtol=1e-6)


def test_a_residual_block_by_hand():
    """With zero 3x3 kernels a block is ReLU of its shortcut."""
    block = _unet.Block(2, _unet.Style(norm="none", residual=True))
    x = jax.random.normal(jax.random.key(0), (1, 3, 3, 2))
    params = block.init(jax.random.key(1), x, train=False)["params"]
    zero = {k: jax.tree.map(jnp.zeros_like, v) for k, v in params.items()}
    zero["shortcut_conv"]["kernel"] = jnp.eye(2)
    got = block.apply({"params": zero}, x, train=False)
    np.testing.assert_allclose(got, jnp.maximum(x, 0), rtol=1e-6)
    plain = _unet.Block(2, _unet.Style(norm="none"))
    assert (
        "shortcut_conv" not in plain.init(jax.random.key(1), x, train=False)["params"]
    )


def test_dropout_acts_in_training_alone():
    block = _unet.Block(8, _unet.Style(norm="none", dropout=0.5))
    x = jnp.ones((4, 4, 4, 3))
    variables = block.init(jax.random.key(0), x, train=False)
    run = functools.partial(block.apply, variables, x)
    kept = run(train=False)
    dropped = run(train=True, rngs={"dropout": jax.random.key(1)})
    alive = kept > 0
    share = np.asarray((dropped > 0) & alive).sum() / alive.sum()
    assert 0.35 < share < 0.65
    np.testing.assert_allclose(
        dropped, jnp.where(dropped > 0, 2 * kept, 0), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("module", UNETS)
@pytest.mark.parametrize(
    "fields, message",
    [
        (dict(widths=(4,)), "must hold 2 to 8 numbers"),
        (dict(widths=(4, 0)), "each 1 or more"),
        (dict(convs=0), "convs is 0"),
        (dict(norm="layer"), "use one of 'batch', 'group', 'instance'"),
        (dict(up="cubic"), "'transposed', 'bilinear', 'nearest'"),
        (dict(dropout=-0.1), r"\[0, 1\)"),
        (dict(activation="gelu"), "'relu', 'leaky_relu'"),
        (dict(down="average"), "'max_pool', 'strided'"),
        (dict(widths=(4, 4, 4), deep_supervision=True), "needs 4 widths or more"),
    ],
)
def test_fields_that_do_not_fit_are_refused(module, fields, message):
    with pytest.raises(ConfigError, match=message):
        shapes_of(module.Model(2, **fields))
