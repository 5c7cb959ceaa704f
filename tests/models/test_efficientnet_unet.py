"""EfficientNet-Lite encoder equal to the PyTorch one, under its names; the counts."""

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
from jaxseg.models import _efficientnet, efficientnet_unet
from jaxseg.weights import published_names

GOLDEN = pathlib.Path(__file__).parents[1] / "support" / "golden"


@functools.cache
def golden():
    """(classifier, its variables from the golden checkpoint, the golden arrays)."""
    with np.load(GOLDEN / "efficientnet_lite.npz") as file:
        arrays = dict(file)
    case = json.loads(str(arrays.pop("case")))
    model = _efficientnet.Classifier(case["num_classes"], case["width"], case["depth"])
    checkpoint = {k[11:]: v for k, v in arrays.items() if k.startswith("checkpoint/")}
    return model, imported(checkpoint, shapes_of(model)), arrays


def imported(checkpoint, shapes):
    """`shapes` with every leaf from a checkpoint of published names, none left."""
    leaves, left = traverse_util.flatten_dict(shapes, sep="/"), dict(checkpoint)
    for path, leaf in leaves.items():
        array = left.pop(published_names.efficientnet_name(path.split("/", 1)[1]))
        array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
        leaves[path] = array[0, 0] if array.ndim > leaf.ndim else array
        assert leaves[path].shape == leaf.shape
    assert all(name.endswith("num_batches_tracked") for name in left)
    return traverse_util.unflatten_dict(leaves, sep="/")


def shapes_of(model):
    init = functools.partial(model.init, train=False)
    return jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))


def count(tree):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def nhwc(array):
    return jnp.asarray(array).transpose(0, 2, 3, 1)


def wave(x):
    """The weights of the golden gradient, which are those of NCHW order."""
    weights = np.cos(np.arange(x.size, dtype=float))
    if x.ndim == 2:
        return jnp.asarray(weights.reshape(x.shape))
    b, h, w, c = x.shape
    return nhwc(weights.reshape(b, c, h, w))


def assert_close(ours, theirs, name):
    error = np.abs(np.asarray(ours) - np.asarray(theirs)).max()
    assert error < 2e-5 * np.abs(theirs).max(), f"{name}: {error}"


def test_maps_logits_gradients_and_statistics_equal_pytorch():
    model, variables, arrays = golden()

    @functools.partial(jax.jit, static_argnames="train")
    def run(image, train):
        def objective(image):
            logits, state = model.apply(
                variables,
                image,
                train=train,
                capture_intermediates=lambda module, _: module.name == "encoder",
                mutable=["batch_stats", "intermediates"],
            )
            maps = [*state["intermediates"]["encoder"]["__call__"][0], logits]
            value = sum(jnp.sum(x * wave(x)) for x in maps)
            return value, (maps, state["batch_stats"])

        return jax.grad(objective, has_aux=True)(image)

    gradient, ((*maps, logits), _) = run(nhwc(arrays["image"]), train=False)
    for i, ours in enumerate(maps):
        assert_close(ours, nhwc(arrays[f"map{i}"]), f"map {i}")
    assert_close(logits, arrays["map5"], "logits")
    assert_close(gradient, nhwc(arrays["image_gradient"]), "gradient")

    _, (maps, state) = run(nhwc(arrays["image"]), train=True)
    assert_close(maps[3], nhwc(arrays["train"]), "training")
    after = {k[6:]: v for k, v in arrays.items() if k.startswith("after/")}
    want = imported(after, {"batch_stats": variables["batch_stats"]})
    jax.tree.map(
        lambda a, b: assert_close(a, b, "statistics"), {"batch_stats": state}, want
    )


def test_parameter_count_and_names_are_those_of_the_published_lite0():
    shapes = shapes_of(_efficientnet.Classifier())
    # The arrays of efficientnet-lite0-57934424.pth, statistics of the norms apart.
    assert count(shapes["params"]) == 4_652_008
    assert count(shapes["batch_stats"]) == 42_016
    names = [
        published_names.efficientnet_name(path.split("/", 1)[1])
        for path in traverse_util.flatten_dict(shapes, sep="/")
    ]
    assert len(set(names)) == len(names)
    for name in (
        "_conv_stem.weight",
        "_bn0.running_var",
        "_blocks.0._depthwise_conv.weight",
        "_blocks.15._bn2.bias",
        "_conv_head.weight",
        "_fc.bias",
    ):
        assert name in names


def test_the_model_has_the_encoder_of_the_classifier():
    ours = shapes_of(efficientnet_unet.Model(2))
    theirs = shapes_of(_efficientnet.Classifier())
    for part in ("params", "batch_stats"):
        assert ours[part]["encoder"] == theirs[part]["encoder"]
    assert count(ours["params"]) == 5_198_033 + 17  # one class, and a second one


@pytest.mark.parametrize("width, channels", [(1.0, 320), (1.1, 352), (1.4, 448)])
def test_widths_are_scaled_to_multiples_of_eight(width, channels):
    model = _efficientnet.EfficientNet(width, 1.2)
    shapes = shapes_of(model)["params"]
    assert len(shapes) == (1 + 3 + 3 + 4 + 4 + 5 + 1) + 2  # stem and its norm
    last = max((n for n in shapes if n.startswith("blocks")), key=lambda n: int(n[7:]))
    assert shapes[last]["project_conv"]["kernel"].shape[-1] == channels


@pytest.mark.parametrize(
    "fields, message",
    [
        (dict(width=0.0), "above 0"),
        (dict(depth=-1.0), "above 0"),
        (dict(decoder_norm="layer"), "'instance', 'none'"),
        (dict(dtype="float16"), "'bfloat16'"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        shapes_of(efficientnet_unet.Model(2, **fields))
