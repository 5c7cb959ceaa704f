"""Published weights land where they belong, or nowhere; every one is accounted for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.published import (
    encoder_within,
    golden,
    put,
    rows,
    shapes_of,
    start_of,
    upernet,
)

from jaxseg.errors import ConfigError
from jaxseg.models import _resnet, resnet_unet
from jaxseg.types import TrainState
from jaxseg.weights import into_model, published_names

LEAVES = ("kernel", "bias")


def test_another_number_of_classes_keeps_only_the_classifiers_as_they_are():
    model, arrays, _ = upernet(num_classes=5)
    start = start_of(shapes_of(model))
    variables, report = put(arrays, start)
    fresh = rows(report, "re-initialised")
    names = {
        f"params/{aux}classifier/{leaf}" for aux in ("", "aux_") for leaf in LEAVES
    }
    assert fresh == dict.fromkeys(names, "the file has 3 classes, the model 5")
    assert variables["params"]["classifier"] == start["params"]["classifier"]
    assert "re-initialised     4" in report.describe()
    assert "the file has 3 classes, the model 5: params/aux_class" in report.describe()
    assert "intensity.mode=imagenet" in report.describe().splitlines()[-1]


def test_an_auxiliary_head_that_the_model_lacks_is_left_out():
    model, arrays, _ = upernet(aux=False)
    _, report = put(arrays, shapes_of(model))
    left = {n for n, why in rows(report, "unused").items() if "auxiliary" in why}
    assert "auxiliary_head.convs.0.conv.weight" in left
    assert all(name.startswith("auxiliary_head.") for name in left)


def test_what_is_missing_or_too_much_is_an_error_that_names_it():
    model, arrays, _ = upernet()
    shapes = shapes_of(model)
    key = "backbone.encoder.layers.1.blocks.1.attention.self.key.bias"
    without = {k: v for k, v in arrays.items() if k != key}
    with pytest.raises(ConfigError, match=f"{key} is missing"):
        put(without, shapes)
    with pytest.raises(ConfigError, match="neck.weight has no place"):
        put({**arrays, "neck.weight": np.zeros(1)}, shapes)
    with pytest.raises(ConfigError, match=r"\(9,\) .* another shape than .*qkv/bias"):
        put({**arrays, key: np.zeros(9)}, shapes)
    start = start_of(shapes)
    allowed = ("backbone/stage2_block1/attention/qkv/bias", "neck.*")
    for told in (True, allowed):
        odd = {**without, "neck.weight": np.zeros(1)}
        variables, report = put(odd, start, allow_missing=told)
        assert list(rows(report, "re-initialised").values()) == ["not in the file"]
        qkv = variables["params"]["backbone"]["stage2_block1"]["attention"]["qkv"]
        assert not qkv["bias"].any() and qkv["kernel"].any()
    with pytest.raises(ConfigError, match="is missing"):
        put(without, shapes, allow_missing=("decode_head/*",))


def test_a_deeper_network_is_not_cut_to_fit_and_nothing_at_all_is_not_success():
    arrays, _ = golden("resnet_basic")
    model = _resnet.ResNet((1, 1, 1, 1), False, 4)
    shapes = encoder_within(shapes_of(model, channels=1))
    with pytest.raises(ConfigError, match=r"layer2\.1\.conv1\.weight has no place"):
        put(arrays, shapes, "resnet_unet")
    wide = _resnet.ResNet((1, 2, 1, 2), False, 7)
    with pytest.raises(ConfigError, match="no array fits"):
        put(arrays, encoder_within(shapes_of(wide)), "resnet_unet", allow_missing=True)


def test_a_state_gets_the_weights_where_its_own_lay_and_keeps_the_rest():
    shapes = shapes_of(resnet_unet.Model(2, depth=18, width=4))
    old = jax.tree.map(lambda x: jnp.asarray(x) + 1, start_of(shapes))
    named = into_model.collect(old, published_names.published("resnet_unet"))
    doubled = {k: 2 * v for k, v in named.items()}
    params, rest = old["params"], {"batch_stats": old["batch_stats"]}
    zero = jnp.zeros((), jnp.int32)
    start = TrainState(zero, params, rest, (), params, zero, zero)
    state, report = into_model.into_state(
        start, doubled, model_name="resnet_unet", source="a file"
    )
    for part in (state.params, state.model_state["batch_stats"]):
        was = params if part is state.params else rest["batch_stats"]
        for a, b in zip(*map(jax.tree.leaves, (part, was)), strict=True):
            assert a.sharding == b.sharding and a.dtype == b.dtype
        jax.tree.map(
            lambda a, b: np.testing.assert_array_equal(a, 2 * b),
            part["encoder"],
            was["encoder"],
        )
    assert state.params["head"]["bias"] is params["head"]["bias"]
    same = zip(*map(jax.tree.leaves, (state.params, state.ema_params)), strict=True)
    for a, b in same:  # equal, but not one buffer: the step gives both away
        np.testing.assert_array_equal(a, b)
        assert a.unsafe_buffer_pointer() != b.unsafe_buffer_pointer()
