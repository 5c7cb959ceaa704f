"""Weights of every library, imported by their names, answer as they do there."""

import functools

import jax
import numpy as np
import pytest
from support.published import (
    assert_close,
    encoder_within,
    golden,
    nhwc,
    put,
    rows,
    shapes_of,
    start_of,
    upernet,
)

from jaxseg.errors import ConfigError, DataError
from jaxseg.models import _efficientnet, _resnet, swin_upernet
from jaxseg.weights import published_names

SWIN = dict(embed_dim=4, depths=(1, 2, 2, 1), num_heads=(1, 2, 2, 4), window=2)


@pytest.mark.parametrize("name, channels", [("odd", 3), ("grey", 1)])
def test_a_whole_hugging_face_model_answers_as_there(name, channels):
    model, arrays, rest = upernet(name)
    shapes = shapes_of(model, channels)
    variables, report = put(arrays, shapes)
    apply = jax.jit(functools.partial(model.apply, train=False))
    assert_close(apply(variables, nhwc(rest["image"]))["logits"], nhwc(rest["logits"]))
    assert len(rows(report, "loaded")) == len(jax.tree.leaves(shapes))
    unused = {"a counter that we do not keep", "a norm that UPerNet never calls"}
    assert set(rows(report, "unused").values()) == unused


@functools.cache
def swin_of_all_names():
    model = swin_upernet.Model(2, **SWIN, width=4, aux=False)

    def top(variables, image):
        _, state = model.apply(
            variables,
            image,
            train=False,
            capture_intermediates=lambda module, _: module.name == "backbone",
            mutable=["intermediates"],
        )
        return state["intermediates"]["backbone"]["__call__"][0][-1]

    return start_of(shapes_of(model)), jax.jit(top)


@pytest.mark.parametrize(
    "name", ["timm_swin", "timm_swin_old", "hf_swin", "hf_swin_backbone"]
)
def test_a_swin_backbone_of_any_library_answers_as_there(name):
    start, top = swin_of_all_names()
    arrays, rest = golden(f"names_{name}")
    variables, report = put(arrays, start)
    ours, theirs = top(variables, rest["image"]), rest["top"]
    if name != "hf_swin_backbone":  # before the norm, which the others do not have
        theirs = theirs - theirs.mean(-1, keepdims=True)
        theirs = theirs / np.sqrt(theirs.var(-1, keepdims=True) + 1e-5)
    assert_close(ours, theirs)
    fresh = rows(report, "re-initialised")
    assert set(fresh.values()) == {"no part of the backbone that the file holds"}
    ours_alone = ("_norm/scale", "_norm/bias") if name != "hf_swin_backbone" else ()
    for path in fresh:
        assert "/backbone/" not in path or path.endswith(ours_alone), path
    assert "classifier of whole images" in " ".join(rows(report, "unused").values())
    kept = variables["params"]["decode_head"]["bottleneck"]["conv"]["kernel"]
    assert kept is start["params"]["decode_head"]["bottleneck"]["conv"]["kernel"]


@pytest.mark.parametrize(
    "name, blocks, bottleneck, width",
    [
        ("resnet_basic", (1, 2, 1, 2), False, 4),
        ("resnet_bottleneck", (2, 1, 2, 1), True, 3),
        ("names_hf_resnet", (2, 1, 1, 1), True, 3),
    ],
)
def test_a_resnet_of_any_library_answers_as_there(name, blocks, bottleneck, width):
    arrays, rest = golden(name)
    model = _resnet.ResNet(blocks, bottleneck, width)
    ours = "map4" in rest
    image = nhwc(rest["image"]) if ours else rest["image"]
    shapes = encoder_within(shapes_of(model, image.shape[-1]))
    variables, report = put(arrays, shapes, "resnet_unet")
    encoder = {k: v["encoder"] for k, v in variables.items()}
    maps = jax.jit(functools.partial(model.apply, train=False))(encoder, image)
    assert_close(maps[-1], nhwc(rest["map4"]) if ours else rest["top"])
    assert len(rows(report, "loaded")) == len(jax.tree.leaves(shapes))
    if not ours:
        assert {"classifier.1.weight", "classifier.1.bias"} < rows(
            report, "unused"
        ).keys()


def test_an_efficientnet_answers_as_there():
    arrays, rest = golden("efficientnet_lite")
    model = _efficientnet.Classifier(3, 0.1, 0.4)
    variables, report = put(arrays, shapes_of(model), "efficientnet_unet")
    apply = jax.jit(functools.partial(model.apply, train=False))
    assert_close(apply(variables, nhwc(rest["image"])), rest["map5"])
    assert {row.kind for row in report.rows} == {"loaded", "unused"}
    only = {k: {"encoder": v["encoder"]} for k, v in shapes_of(model).items()}
    _, report = put(arrays, only, "efficientnet_unet")
    unused = {n for n, why in rows(report, "unused").items() if "whole images" in why}
    assert unused >= {"_fc.weight", "_fc.bias", "_conv_head.weight", "_bn1.bias"}


def test_weights_for_another_model_and_of_no_known_names_are_refused():
    _, arrays, _ = upernet()
    with pytest.raises(ConfigError, match="config.model.name=swin_upernet, not unet"):
        put(arrays, {}, "unet")
    with pytest.raises(
        DataError, match=r"holds a, b \.\.\.: these are the names of no"
    ):
        published_names.recognise(["b", "a"], model="unet", source="a file")
