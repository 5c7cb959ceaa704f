"""UPerNet-Swin: equal to Hugging Face's, parameter by parameter; windows by hand."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import published
from support.published import nhwc, shapes_of

from jaxseg.errors import ConfigError
from jaxseg.models import swin_upernet


@functools.cache
def golden(name):
    """(model, its variables from the golden checkpoint, checkpoint, golden arrays)."""
    model, checkpoint, answers = published.upernet(name)
    shapes = shapes_of(model, answers["image"].shape[1])
    return model, published.put(checkpoint, shapes)[0], checkpoint, answers


def assert_equal_to(ours, theirs, name):
    error = np.abs(np.asarray(ours) - np.asarray(theirs)).max()
    assert error < 2e-5 * np.abs(theirs).max(), f"{name}: {error}"


@pytest.mark.parametrize("name", ["odd", "grey"])
def test_logits_features_and_gradients_equal_hugging_face(name):
    model, variables, _, arrays = golden(name)
    block = "stage2_block1" if name == "odd" else "stage1_block1"  # both shifted
    table = variables["params"]["backbone"][block]["attention"]["bias_table"]

    def objective(image, table):
        params = jax.tree.map(lambda x: x, variables["params"])
        params["backbone"][block]["attention"]["bias_table"] = table
        out, state = model.apply(
            {**variables, "params": params},
            image,
            train=False,
            capture_intermediates=lambda module, _: module.name == "backbone",
            mutable=["intermediates"],
        )
        features = state["intermediates"]["backbone"]["__call__"][0]
        return jnp.sum(nhwc(arrays["cotangent"]) * out["logits"]), (out, features)

    grad = jax.jit(jax.grad(objective, (0, 1), has_aux=True))
    (g_image, g_table), (out, features) = grad(nhwc(arrays["image"]), table)
    for i, feature in enumerate(features):
        assert_equal_to(feature, nhwc(arrays[f"stage{i + 1}"]), f"stage {i + 1}")
    assert_equal_to(out["logits"], nhwc(arrays["logits"]), "logits")
    assert ("aux" in out) == ("aux" in arrays)
    if "aux" in out:
        assert_equal_to(out["aux"], nhwc(arrays["aux"]), "aux")
    assert_equal_to(g_image, nhwc(arrays["image_gradient"]), "image gradient")
    square = arrays["table_gradient"].reshape(g_table.shape)
    assert_equal_to(g_table, square, "table gradient")


def test_training_mode_equals_hugging_face_and_moves_the_same_statistics():
    model, variables, checkpoint, arrays = golden("odd")
    apply = jax.jit(functools.partial(model.apply, train=True, mutable=["batch_stats"]))
    out, state = apply(variables, nhwc(arrays["image"]))
    assert_equal_to(out["logits"], nhwc(arrays["train_logits"]), "logits")
    after = {k[6:]: v for k, v in arrays.items() if k.startswith("after/")}
    want = published.put({**checkpoint, **after}, variables)[0]["batch_stats"]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5),
        state["batch_stats"],
        want,
    )


@pytest.mark.parametrize(
    "size, trainable",
    [
        ("tiny", 59_941_862),
        ("small", 81_259_766),
        ("base", 121_415_076),
        ("large", 233_962_976),
    ],
)
def test_parameter_counts_are_the_published_ones(size, trainable):
    assert count(shapes_of(swin_upernet.Model(150, size=size))["params"]) == trainable


def test_parameter_counts_of_the_parts_of_base():
    params = shapes_of(swin_upernet.Model(150, size="base"))["params"]
    parts = [count(params[k]) for k in ("backbone", "aux_conv", "aux_classifier")]
    head = count(params["decode_head"]) + count(params["classifier"])
    assert (parts[0], head, sum(parts[1:])) == (86_880_376, 33_315_990, 1_218_710)
    assert count(shapes_of(swin_upernet.Model(2, size="base"))["params"]) == 121_301_116
    small = shapes_of(swin_upernet.Model(2, size="base", aux=False))["params"]
    assert not any(name.startswith("aux") for name in small)


def count(tree):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    "fields, message",
    [
        (dict(size="huge"), "choose one of .*tiny"),
        (dict(embed_dim=30, num_heads=(4, 4, 4, 4)), "30 channels, which 4 heads"),
        (dict(depths=(2, 2)), "4 numbers"),
        (dict(window=0), "1 or more"),
        (dict(dtype="float16"), "'bfloat16'"),
        (dict(drop_path=1.0), r"\[0, 1\)"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        shapes_of(swin_upernet.Model(2, **fields))


def test_single_fields_replace_those_of_the_size():
    model = swin_upernet.Model(2, size="base", window=7, depths=[2, 2, 2, 2])
    backbone = shapes_of(model)["params"]["backbone"]
    assert backbone["stage1_block0"]["attention"]["bias_table"].shape == (13, 13, 4)
    assert "stage3_block1" in backbone and "stage3_block2" not in backbone
