"""Published weights land where they belong, or nowhere; every one is accounted for."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import formats, pretrained
from jaxseg.errors import ConfigError, DataError
from jaxseg.models import _efficientnet, _resnet, resnet_unet, swin_upernet

GOLDEN = pathlib.Path(__file__).parent / "models" / "golden"
SWIN = dict(embed_dim=4, depths=(1, 2, 2, 1), num_heads=(1, 2, 2, 4), window=2)
HEADS = ("classifier", "aux_classifier")


def golden(name, prefix="checkpoint/"):
    """(arrays by published name, everything else of the file)."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        every = dict(file)
    names = [k for k in every if k.startswith(prefix)]
    return {k.removeprefix(prefix): every.pop(k) for k in names}, every


def shapes_of(model, channels=3):
    init = functools.partial(model.init, train=False)
    return jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, 64, 64, channels)))


def start_of(shapes):
    """Zeros, but norms that change nothing: an init without its compilation."""

    def one(path, leaf):
        ones = path[-1].key in ("scale", "var")
        return np.full(leaf.shape, float(ones), leaf.dtype)

    return jax.tree_util.tree_map_with_path(one, shapes)


def encoder_within(shapes):
    """Variables of an encoder as a model has them."""
    return {collection: {"encoder": tree} for collection, tree in shapes.items()}


def upernet(name="odd", **changes):
    """(model, arrays of the checkpoint, the golden answers)."""
    arrays, rest = golden(name, "hf/")
    case = json.loads(str(rest["case"]))
    swin = case["swin"]
    fields = dict(
        num_classes=case["num_classes"],
        embed_dim=4,
        depths=tuple(swin["depths"]),
        num_heads=tuple(swin["num_heads"]),
        window=swin["window_size"],
        width=6,
        aux=case["aux"],
        aux_channels=5,
    )
    return swin_upernet.Model(**{**fields, **changes}), arrays, rest


def nhwc(array):
    return jnp.asarray(array).transpose(0, 2, 3, 1)


def put(arrays, variables, model="swin_upernet", **options):
    return pretrained.apply(
        variables, arrays, model_name=model, source="a file", **options
    )


def rows(report, kind):
    return {row.name: row.why for row in report.rows if row.kind == kind}


def assert_close(ours, theirs):
    error = np.abs(np.asarray(ours) - np.asarray(theirs)).max()
    assert error < 2e-5 * np.abs(theirs).max(), error


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
    sizes = sum(row.size for row in report.rows if row.kind == "loaded")
    assert sizes == sum(leaf.size for leaf in jax.tree.leaves(shapes))


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
    ours = name != "names_hf_resnet"
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


def test_another_number_of_classes_keeps_only_the_classifiers_as_they_are():
    model, arrays, _ = upernet(num_classes=5)
    start = start_of(shapes_of(model))
    variables, report = put(arrays, start)
    fresh = rows(report, "re-initialised")
    names = {f"params/{h}/{leaf}" for h in HEADS for leaf in ("kernel", "bias")}
    assert fresh == dict.fromkeys(names, "the file has 3 classes, the model 5")
    assert variables["params"]["classifier"] == start["params"]["classifier"]
    assert "re-initialised     4" in report.describe()
    assert "the file has 3 classes, the model 5: params/aux_class" in report.describe()


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


def test_weights_for_another_model_and_of_no_known_names_are_refused():
    _, arrays, _ = upernet()
    with pytest.raises(ConfigError, match="config.model.name=swin_upernet, not unet"):
        put(arrays, {}, "unet")
    with pytest.raises(
        DataError, match=r"holds a, b \.\.\.: these are the names of no"
    ):
        formats.recognise(["b", "a"], model="unet", source="a file")


def test_placed_arrays_lie_as_the_old_ones_did_and_the_rest_are_the_old_ones():
    shapes = shapes_of(resnet_unet.Model(2, depth=18, width=4))
    variables = jax.tree.map(lambda x: jnp.asarray(x) + 1, start_of(shapes))
    torch_names = pretrained.collect(variables, formats.published("resnet_unet"))
    doubled = {k: 2 * v for k, v in torch_names.items()}
    new, _ = put(doubled, variables, "resnet_unet")
    placed = pretrained.place(new, variables)
    kernel = placed["params"]["encoder"]["conv1"]["kernel"]
    old = variables["params"]["encoder"]["conv1"]["kernel"]
    assert kernel.sharding == old.sharding and kernel.dtype == old.dtype
    np.testing.assert_array_equal(kernel, 2 * old)
    assert placed["params"]["head"]["bias"] is variables["params"]["head"]["bias"]
