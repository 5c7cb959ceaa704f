"""ResNet encoder equal to Hugging Face's and named as torchvision's; the counts."""

import functools
import json
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jaxseg.errors import ConfigError
from jaxseg.models import _resnet, resnet_unet
from jaxseg.weights import published_names

GOLDEN = pathlib.Path(__file__).parents[1] / "support" / "golden"


@functools.cache
def golden(name):
    """(encoder, its variables from the golden checkpoint, the golden arrays)."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        arrays = dict(file)
    case = json.loads(str(arrays.pop("case")))
    blocks = tuple(case["blocks"])
    model = _resnet.ResNet(blocks, case["bottleneck"], case["width"])
    shapes = shapes_of(model, channels=case["channels"])
    checkpoint = {k[11:]: v for k, v in arrays.items() if k.startswith("checkpoint/")}
    return model, imported(checkpoint, shapes), arrays


def imported(checkpoint, shapes):
    """`shapes` with every leaf from a checkpoint of torchvision's names, none left."""
    leaves, left = traverse_util.flatten_dict(shapes, sep="/"), dict(checkpoint)
    for path, leaf in leaves.items():
        array = left.pop(published_names.torchvision_name(path.split("/", 1)[1]))
        array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
        leaves[path] = array[0, 0] if leaf.ndim == 2 else array
        assert leaves[path].shape == leaf.shape
    assert all(name.endswith("num_batches_tracked") for name in left)
    return traverse_util.unflatten_dict(leaves, sep="/")


def shapes_of(model, channels=3):
    init = functools.partial(model.init, train=False)
    return jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, 64, 64, channels)))


def count(tree):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def nhwc(array):
    return jnp.asarray(array).transpose(0, 2, 3, 1)


def wave(x):
    """The weights of the golden gradient, which are those of NCHW order."""
    b, h, w, c = x.shape
    return nhwc(np.cos(np.arange(x.size, dtype=float)).reshape(b, c, h, w))


def assert_close(ours, theirs, name):
    error = np.abs(np.asarray(ours) - np.asarray(theirs)).max()
    assert error < 2e-5 * np.abs(theirs).max(), f"{name}: {error}"


@pytest.mark.parametrize("name", ["resnet_basic", "resnet_bottleneck"])
def test_maps_gradients_and_statistics_equal_hugging_face(name):
    model, variables, arrays = golden(name)

    @functools.partial(jax.jit, static_argnames="train")
    def run(image, train):
        def objective(image):
            maps, state = model.apply(
                variables, image, train=train, mutable=["batch_stats"]
            )
            return sum(jnp.sum(x * wave(x)) for x in maps), (maps, state)

        return jax.grad(objective, has_aux=True)(image)

    gradient, (maps, _) = run(nhwc(arrays["image"]), train=False)
    for i, ours in enumerate(maps):
        assert_close(ours, nhwc(arrays[f"map{i}"]), f"map {i}")
    assert_close(gradient, nhwc(arrays["image_gradient"]), "gradient")

    _, (maps, state) = run(nhwc(arrays["image"]), train=True)
    assert_close(maps[3], nhwc(arrays["train"]), "training")
    after = {k[6:]: v for k, v in arrays.items() if k.startswith("after/")}
    want = imported(after, {"batch_stats": variables["batch_stats"]})
    jax.tree.map(lambda a, b: assert_close(a, b, "statistics"), {**state}, want)


# torchvision's own counts, less the 1000-class layer of 512 or 2048 features
@pytest.mark.parametrize(
    "depth, encoder",
    [
        (18, 11_689_512 - 513_000),
        (34, 21_797_672 - 513_000),
        (50, 25_557_032 - 2_049_000),
        (101, 44_549_160 - 2_049_000),
    ],
)
def test_parameter_counts_of_the_encoders_are_the_published_ones(depth, encoder):
    params = shapes_of(resnet_unet.Model(1, depth=depth))["params"]
    assert count(params["encoder"]) == encoder


def test_parameter_count_of_a_published_decoder():
    """Without norms, with biases, the image as last skip; its head has 4 classes."""
    model = resnet_unet.Model(
        4,
        decoder_widths=(1024, 512, 256, 128, 64),
        decoder_norm="none",
        up_conv=True,
        image_skip=True,
    )
    params = shapes_of(model)["params"]
    assert count(params["decoder"]) + count(params["head"]) == 48_783_108


def test_names_are_those_of_torchvision():
    names = {
        published_names.torchvision_name(path.split("/", 1)[1])
        for path in traverse_util.flatten_dict(shapes_of(encoder_of(50)), sep="/")
    }
    norm = ("weight", "bias", "running_mean", "running_var")
    want = {"conv1.weight", *(f"bn1.{leaf}" for leaf in norm)}
    for i, blocks in enumerate((3, 4, 6, 3), 1):
        for j in range(blocks):
            block = f"layer{i}.{j}"
            want |= {f"{block}.conv{k}.weight" for k in (1, 2, 3)}
            want |= {f"{block}.bn{k}.{leaf}" for k in (1, 2, 3) for leaf in norm}
        short = f"layer{i}.0.downsample"
        want |= {f"{short}.0.weight", *(f"{short}.1.{leaf}" for leaf in norm)}
    assert names == want and len(names) == 53 + 4 * 53


def encoder_of(depth):
    return _resnet.ResNet(_resnet.BLOCKS[depth], bottleneck=depth >= 50)


@pytest.mark.parametrize("up", ["nearest", "bilinear", "transposed"])
@pytest.mark.parametrize("norm", ["batch", "group", "instance", "none"])
def test_decoders_of_all_kinds_have_logits_of_the_size_of_the_image(up, norm):
    model = resnet_unet.Model(2, width=4, decoder_norm=norm, up=up)
    image = jnp.zeros((1, 37, 70, 2))
    out, _ = jax.eval_shape(
        functools.partial(model.init_with_output, train=False),
        jax.random.key(0),
        image,
    )
    assert out["logits"].shape == (1, 37, 70, 2)


@pytest.mark.parametrize(
    "fields, message",
    [
        (dict(depth=20), "depth is 20: use one of 18, 34, 50, 101"),
        (dict(width=0), "width is 0"),
        (dict(decoder_widths=(8, 8)), "must hold 5 numbers"),
        (dict(decoder_widths=(8, 8, 8, 8, 0)), "1 or more"),
        (dict(decoder_norm="layer"), "'instance', 'none'"),
        (dict(up="cubic"), "'transposed', 'bilinear', 'nearest'"),
        (dict(up="transposed", up_conv=True), "up_conv is True"),
        (dict(dropout=1.0), r"\[0, 1\)"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        shapes_of(resnet_unet.Model(2, **fields))
