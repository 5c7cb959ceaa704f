"""The encoder for heads of whole images: no decoder, and nothing said of pixels."""

import functools

import jax
import numpy as np
import pytest
from support.published import put, rows, shapes_of, start_of

from jaxseg.errors import ConfigError
from jaxseg.models import _resnet, resnet_classifier, resnet_unet
from jaxseg.train_step import state
from jaxseg.weights import into_model, published_names

SMALL = dict(depth=18, width=4)


def test_it_is_the_encoder_of_the_unet_and_nothing_else():
    ours = shapes_of(resnet_classifier.Model(2, **SMALL))
    unet = resnet_unet.Model(2, **SMALL, decoder_widths=(4, 4, 4, 4, 4))
    assert {*ours["params"]} == {"encoder"}
    for kind, part in shapes_of(unet).items():
        assert part["encoder"] == ours[kind]["encoder"]


def test_it_says_nothing_of_pixels_and_its_features_are_the_deepest_map():
    model = resnet_classifier.Model(2, **SMALL)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: rng.uniform(0.5, 1, leaf.shape).astype(np.float32),
        shapes_of(model, channels=1),
    )
    image = rng.normal(size=(2, 40, 33, 1)).astype(np.float32)
    apply = functools.partial(model.apply, train=False)
    out = jax.jit(apply, compiler_options=state.COMPILE_FAST)(variables, image)
    assert out["logits"].shape == (2, 40, 33, 2) and not np.any(out["logits"])
    assert out["features"].shape == (2, 2, 2, 32)  # 64 x 64 once it is padded
    encoder = _resnet.ResNet(_resnet.BLOCKS[18], bottleneck=False, width=4)
    padded = np.pad(image, ((0, 0), (0, 24), (0, 31), (0, 0)), "edge")
    within = {kind: tree["encoder"] for kind, tree in variables.items()}
    deepest = jax.jit(
        functools.partial(encoder.apply, train=False),
        compiler_options=state.COMPILE_FAST,
    )(within, padded)[-1]
    np.testing.assert_allclose(out["features"], deepest, rtol=1e-5)


def test_a_head_of_pixels_is_there_where_it_is_asked_for():
    model = resnet_classifier.Model(3, **SMALL, pixel_head=True)
    shapes = shapes_of(model)
    assert {*shapes["params"]} == {"encoder", "head"}
    assert shapes["params"]["head"]["kernel"].shape == (32, 3)


def test_published_weights_of_a_resnet_fit_it():
    unet = resnet_unet.Model(2, **SMALL, decoder_widths=(4, 4, 4, 4, 4))
    ones = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), shapes_of(unet))
    arrays = into_model.collect(ones, published_names.published("resnet_unet"))
    assert "layer4.1.conv2.weight" in arrays
    start = start_of(shapes_of(resnet_classifier.Model(2, **SMALL)))
    variables, report = put(arrays, start, "resnet_classifier")
    assert {*rows(report, "unused").values()} <= {"a counter that we do not keep"}
    assert not rows(report, "re-initialised")
    assert all((leaf == 1).all() for leaf in jax.tree.leaves(variables))
    out = into_model.collect(variables, published_names.published("resnet_classifier"))
    assert out.keys() == arrays.keys()
    with pytest.raises(ConfigError, match="name=resnet_unet or resnet_classifier, not"):
        put(arrays, start, "unet")


def test_another_depth_is_refused():
    with pytest.raises(ConfigError, match="depth is 20: use one of 18"):
        shapes_of(resnet_classifier.Model(2, depth=20))
