"""UNet++ equal to MONAI's, DeepLabV3+ to segmentation_models_pytorch's; the counts."""

import functools
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from test_resnet_unet import assert_close, count, nhwc, shapes_of, wave

from jaxseg.errors import ConfigError
from jaxseg.models import deeplabv3_plus, unet_plus_plus
from jaxseg.weights import published_names

GOLDEN = pathlib.Path(__file__).parents[1] / "support" / "golden"
MODELS = {
    "unet_plus_plus": unet_plus_plus.Model(
        3,
        widths=(2, 4, 8, 16, 32),
        norm="instance",
        conv_bias=True,
        activation="leaky_relu",
        deep_supervision=True,
    ),
    "deeplabv3_plus": deeplabv3_plus.Model(
        3, depth=18, width=3, rates=(2, 3, 4), decoder_width=8, dropout=0.0
    ),
}
LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias"}
LEAVES |= {"mean": "running_mean", "var": "running_var"}
_POOLING = "decoder.aspp.0"
# of DeepLabV3+, without "_conv" and "_norm": (convolution, norm)
PLACES = {
    "pooling/pixel": (f"{_POOLING}.convs.0.0", f"{_POOLING}.convs.0.1"),
    "pooling/rate2": (f"{_POOLING}.convs.1.0.1", f"{_POOLING}.convs.1.1"),
    "pooling/rate3": (f"{_POOLING}.convs.2.0.1", f"{_POOLING}.convs.2.1"),
    "pooling/rate4": (f"{_POOLING}.convs.3.0.1", f"{_POOLING}.convs.3.1"),
    "pooling/whole": (f"{_POOLING}.convs.4.1", f"{_POOLING}.convs.4.2"),
    "pooling/project": (f"{_POOLING}.project.0", f"{_POOLING}.project.1"),
    "pooled": ("decoder.aspp.1.1", "decoder.aspp.2"),
    "low": ("decoder.block1.0", "decoder.block1.1"),
    "fused": ("decoder.block2.0.1", "decoder.block2.1"),
}


def of_unet_plus_plus(path: str) -> str:
    """The name in MONAI's network of a parameter of ours."""
    module, leaf = path.rsplit("/", 1)
    rules = [
        (r"encoder/level1/", "conv_0_0/"),
        (r"encoder/level(\d)/", lambda m: f"conv_{int(m[1]) - 1}_0/convs/"),
        (r"node(\d)_(\d)/", r"upcat_\1_\2/convs/"),
        (r"up(\d)_(\d)$", r"upcat_\1_\2/upsample/deconv"),
        (r"layer(\d)_conv", lambda m: f"conv_{int(m[1]) - 1}/conv"),
        (r"layer(\d)_norm", lambda m: f"conv_{int(m[1]) - 1}/adn/N"),
        (r"head$", "final_conv_0_4"),
        (r"head(\d)$", r"final_conv_0_\1"),
    ]
    for pattern, new in rules:
        module = re.sub(pattern, new, module)
    return f"net.{module.replace('/', '.')}.{LEAVES[leaf]}"


def of_deeplabv3_plus(path: str) -> str:
    """The name in the PyTorch network of a parameter or statistic of ours."""
    module, leaf = path.rsplit("/", 1)
    if module.startswith("encoder/"):
        name = published_names.torchvision_name(path.removeprefix("encoder/"))
        return f"encoder.{name}"
    if module == "head":
        return f"head.{LEAVES[leaf]}"
    place, kind = module.rsplit("_", 1)
    convolution, norm = PLACES[place]
    if kind == "each":  # of each channel, before that of the channels
        convolution = convolution[:-1] + "0"
    return f"{norm if kind == 'norm' else convolution}.{LEAVES[leaf]}"


NAMES = {"unet_plus_plus": of_unet_plus_plus, "deeplabv3_plus": of_deeplabv3_plus}


@functools.cache
def golden(name):
    """(model, its variables from PyTorch's arrays, the golden arrays)."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        arrays = dict(file)
    checkpoint = {k[11:]: v for k, v in arrays.items() if k.startswith("checkpoint/")}
    image = nhwc(arrays["image"])
    shapes = shapes_of(MODELS[name], channels=image.shape[-1])
    leaves = traverse_util.flatten_dict(shapes, sep="/")
    for path, leaf in leaves.items():
        array = checkpoint.pop(NAMES[name](path.split("/", 1)[1]))
        if re.search(r"/up\d_\d/kernel", path):
            array = array.transpose(2, 3, 0, 1)  # a transposed convolution
        elif array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
        leaves[path] = array[0, 0] if leaf.ndim == 2 else array
        assert leaves[path].shape == leaf.shape, path
    assert not checkpoint
    return MODELS[name], traverse_util.unflatten_dict(leaves, sep="/"), arrays


@pytest.mark.parametrize("name", MODELS)
def test_logits_and_the_gradient_of_the_image_equal_pytorch(name):
    model, variables, arrays = golden(name)

    @functools.partial(jax.jit, static_argnames="train")
    def run(image, train):
        def objective(image):
            mutable = ["batch_stats"]
            outputs, _ = model.apply(variables, image, train=train, mutable=mutable)
            every = [*outputs.get("deep", [])[::-1], outputs["logits"]]
            return sum(jnp.sum(x * wave(x)) for x in every), every

        return jax.grad(objective, has_aux=True)(image)

    image = nhwc(arrays["image"])
    gradient, every = run(image, train=False)
    assert len(every) == (4 if name == "unet_plus_plus" else 1)
    for i, ours in enumerate(every):
        assert_close(ours, nhwc(arrays[f"logits{i}"]), f"logits {i}")
    assert_close(gradient, nhwc(arrays["image_gradient"]), "gradient")
    _, every = run(image, train=True)
    assert_close(every[-1], nhwc(arrays["train"]), "training")


# printed by support/make_golden_decoders.py
def test_the_numbers_of_parameters_are_those_of_pytorch():
    whole = unet_plus_plus.Model(
        2,
        widths=(32, 32, 64, 128, 256),
        norm="instance",
        conv_bias=True,
        deep_supervision=True,
    )
    assert count(shapes_of(whole, channels=1)["params"]) == 2_410_312
    for depth, number in ((18, 12_329_811), (50, 26_678_099)):
        model = deeplabv3_plus.Model(3, depth=depth)
        assert count(shapes_of(model)["params"]) == number


@pytest.mark.parametrize("stride, size", [(16, 4), (8, 8)])
def test_the_last_map_of_the_encoder_has_the_output_stride(stride, size):
    model = deeplabv3_plus.Model(2, **deeplabv3_plus.TINY | {"output_stride": stride})
    image = jnp.zeros((1, 64, 64, 3))

    def run(key):
        return model.init_with_output(
            key, image, train=False, capture_intermediates=True, mutable=True
        )[1]["intermediates"]

    shapes = jax.eval_shape(run, jax.random.key(0))
    maps = shapes["encoder"]["__call__"][0]
    assert maps[-1].shape[1:3] == (size, size)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (deeplabv3_plus.Model(2, output_stride=32), "output_stride is 32: use one of"),
        (deeplabv3_plus.Model(2, rates=()), "rates is"),
        (unet_plus_plus.Model(2, widths=(4,)), "widths is"),
        (unet_plus_plus.Model(2, up="cubic"), "up is 'cubic'"),
    ],
)
def test_fields_that_are_no_choice_are_refused(model, message):
    with pytest.raises(ConfigError, match=message):
        shapes_of(model)
