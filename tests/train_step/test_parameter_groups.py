"""Groups of parameters by path: depth, rates, patterns, and what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import tiny_encoder

from jaxseg import lookup
from jaxseg.errors import ConfigError
from jaxseg.train_step import parameter_groups


@functools.cache
def _names(name, **fields):
    module = lookup.find("models", name)
    model = module.Model(num_classes=2, **{**module.TINY, **fields})
    init = functools.partial(model.init, train=False)
    image = jnp.zeros((1, 32, 32, 3))
    return parameter_groups.paths(
        jax.eval_shape(init, jax.random.key(0), image)["params"]
    )


@pytest.mark.parametrize(
    "name,expected",
    [
        (
            "swin_upernet",  # depths 1, 2, 1, 1
            {"patch_embed": 0, "stage1_block0": 1, "stage1_norm": 1, "merge1": 1}
            | {"stage2_block0": 2, "stage2_block1": 3, "merge2_norm": 3}
            | {"merge3": 4, "stage4_block0": 5, "stage4_norm": 5},
        ),
        ("resnet_unet", {"conv1": 0, "bn1": 0, "layer1_1": 2, "layer4_1": 8}),
        ("efficientnet_unet", {"conv_stem": 0, "bn0": 0, "blocks_0": 1, "blocks_6": 7}),
        ("unet", {"level1": 1, "level2": 2, "level3": 3}),
    ],
)
def test_depth_follows_the_order_of_the_blocks(name, expected):
    depths = parameter_groups.depths(_names(name))
    by_part = {p.split("/")[1]: d for p, d in depths.items() if d is not None}
    assert {part: by_part[part] for part in expected} == expected
    outside = {p.split("/")[0] for p, d in depths.items() if d is None}
    assert outside and not outside & {"encoder", "backbone"}


def test_eleven_blocks_are_in_the_order_of_numbers():
    depths = parameter_groups.depths([f"encoder/blocks_{i}/kernel" for i in range(11)])
    assert depths["encoder/blocks_10/kernel"] == 11


def test_rates_fall_from_the_decoder_to_the_stem():
    options = dict(encoder_scale=0.5, decoder_scale=2.0, layer_decay=0.1)
    chosen = parameter_groups.groups(_names("unet"), **options)
    scales = parameter_groups.paths(chosen.scales)
    shown = {p.rsplit("/", 2)[0]: s for p, s in scales.items() if "layer1_conv" in p}
    expected = {f"encoder/level{i}": 0.5 * 0.1 ** (4 - i) for i in (1, 2, 3)}
    expected |= {"decoder/level1": 2.0, "decoder/level2": 2.0}
    assert shown == pytest.approx(expected)


def test_a_scaled_update_is_the_plain_one_times_the_factor():
    grads = jax.tree.map(jnp.ones_like, params := tiny_encoder.start().params)
    plain, scaled = (
        tiny_encoder.adamw(),
        tiny_encoder.adamw(encoder_scale=0.25, layer_decay=0.5),
    )
    a, _ = plain.update(grads, plain.init(params), params)
    b, _ = scaled.update(grads, scaled.init(params), params)
    b = parameter_groups.paths(b)
    for path, update in parameter_groups.paths(a).items():
        factor = {"level1": 0.0625, "level2": 0.125}.get(path.split("/")[1], 1.0)
        np.testing.assert_allclose(b[path], update * factor, rtol=1e-6)


@pytest.mark.parametrize(
    "options,message",
    [
        ({"freeze": ("enkoder/*",)}, r"'enkoder/\*', which .* are 'encoder/\*'"),
        ({"freeze": ("encoder",)}, "'encoder', which matches nothing"),
        ({"freeze": ("*",)}, "leaves nothing to train"),
        ({"encoder_scale": 0.0}, "encoder_scale is 0.0; it must be above 0"),
        ({"decoder_scale": -1.0}, "decoder_scale is -1.0"),
        ({"layer_decay": 1.5}, r"layer_decay is 1.5; it must be in \(0, 1\]"),
    ],
)
def test_a_wrong_setting_says_what_is_right(options, message):
    with pytest.raises(ConfigError, match=message):
        parameter_groups.groups(_names("unet"), **options)


def test_a_model_without_an_encoder_has_no_rate_for_it():
    params = {"head": {"kernel": jnp.zeros(1)}, "norm": {"scale": jnp.zeros(1)}}
    for options in ({"encoder_scale": 0.1}, {"layer_decay": 0.9}):
        with pytest.raises(ConfigError, match="the modules of this model are head, no"):
            parameter_groups.groups(params, **options)
    with pytest.raises(ConfigError, match="freeze_norm has 'x', which matches nothing"):
        parameter_groups.frozen_norms(
            {"batch_stats": {"n": {"mean": jnp.zeros(1)}}}, ("x",)
        )
