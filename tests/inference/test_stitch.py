"""Tiles that are joined exactly give what the whole image gives: 0 pixels differ."""

import functools

import flax.linen as nn
import jax
import numpy as np
import pytest
from support import tiny

from jaxseg import errors
from jaxseg.data import pipeline
from jaxseg.inference import image, stitch
from jaxseg.models import unet


class Far(nn.Module):
    """Sees five pixels to the left and up, none to the right: uneven margins."""

    @nn.compact
    def __call__(self, image, *, train: bool):
        x = nn.Conv(4, (3, 3), kernel_dilation=2, padding=((4, 0), (4, 0)))(image)
        x = nn.relu(x) + nn.Conv(4, (2, 2), padding=((1, 0), (1, 0)))(image)
        return {"logits": nn.Conv(2, (2, 2), padding=((1, 0), (1, 0)))(x)}


MODELS = {
    "tiny": (tiny.Model(2), stitch.Field(1, 1)),
    "far": (Far(), stitch.Field(5, 1)),
    "unet": (unet.Model(2, widths=(4, 6)), stitch.Field(9, 2)),
    "nearest": (unet.Model(2, widths=(4, 4, 4), up="nearest"), stitch.Field(23, 4)),
}


@functools.cache
def network(name):
    """u8 [b, h, w, 1] -> probabilities."""
    model = MODELS[name][0]
    start = np.zeros((1, 16, 16, 1), np.float32)
    variables = jax.jit(functools.partial(model.init, train=False))(
        jax.random.key(1), start
    )
    if name in (
        "unet",
        "nearest",
    ):  # as large as He's, so that no pixel is all but lost
        gain = 6**0.5
        variables["params"] = jax.tree.map(
            lambda x: x * gain if x.ndim == 4 else x, variables["params"]
        )

    @jax.jit
    def run(pixels):
        return jax.nn.softmax(
            8 * model.apply(variables, pixels / 255.0, train=False)["logits"], -1
        )

    return run


@functools.cache
def field(name):
    return stitch.field(MODELS[name][0], channels=1, longest=128)


@pytest.mark.parametrize("name", MODELS)
def test_what_a_network_sees_is_measured(name):
    assert field(name) == MODELS[name][1]


def test_a_network_that_sees_all_has_no_field():
    by_image = unet.Model(2, widths=(2, 2), norm="instance")
    assert stitch.field(by_image, channels=1, longest=128) is None
    assert stitch.field(MODELS["nearest"][0], channels=1, longest=66) is None
    assert stitch.sees_all(by_image, channels=1, longest=128)
    assert stitch.sees_all(MODELS["nearest"][0], channels=1, longest=66)
    assert not stitch.sees_all(MODELS["nearest"][0], channels=1, longest=128)


@pytest.mark.parametrize(
    "name, tile, size",
    [
        ("tiny", (4, 8), (23, 31)),
        ("tiny", (9, 9), (3, 20)),
        ("far", (16, 24), (37, 60)),
        ("unet", (24, 40), (61, 53)),
        ("unet", (24, 24), (20, 71)),
        ("nearest", (52, 64), (63, 70)),
    ],
)
def test_no_pixel_differs_from_the_whole_image(name, tile, size):
    rng, run, of = np.random.default_rng(0), network(name), field(name)
    pixels = rng.integers(0, 256, (*size, 1)).astype(np.uint8)
    whole = np.asarray(run(pixels[None]))[0]
    view = pipeline.View(tile, "crop", "none", None, None)
    ask = {"view": view, "maps": run, "num_classes": whole.shape[-1]}
    ask |= {"operating_point": None, "block": 2}
    got = image.predict(pixels, exact=of, **ask)
    assert np.count_nonzero(got.classes != whole.argmax(-1)) == 0
    np.testing.assert_allclose(got.probability, whole, atol=2e-6)
    assert len(np.unique(got.classes)) == 2
    blended = image.predict(pixels, **ask)
    assert abs(blended.probability - whole).max() > 1e-4  # the test can fail
    if size[0] > tile[0]:
        less = of._replace(margin=max(of.margin - 2 * of.stride, 0))
        wrong = image.predict(pixels, exact=less, **ask)
        assert abs(wrong.probability - whole).max() > 1e-4


@pytest.mark.parametrize("length", [24, 25, 40, 47, 48, 200])
@pytest.mark.parametrize("of", [stitch.Field(9, 2), stitch.Field(0, 8), (3, 4)])
def test_cuts_use_every_pixel_once_and_none_near_a_cut(length, of):
    of = stitch.Field(*of)
    length += -length % of.stride
    pieces = stitch.cuts(length, 24, of)
    used = [k for piece in pieces for k in range(piece.first, piece.last)]
    assert used == [*range(length)]
    for piece in pieces:
        end = piece.start + 24
        assert piece.start % of.stride == 0 and (end <= length or len(pieces) == 1)
        assert piece.start == 0 or piece.first - piece.start >= of.margin
        assert end >= length or end - piece.last >= of.margin


def test_tiles_too_small_for_what_the_network_sees_are_refused():
    with pytest.raises(errors.ConfigError, match="give a multiple of 2 from 20 on"):
        stitch.cuts(100, 18, stitch.Field(9, 2))
    with pytest.raises(errors.ConfigError, match="a stride of 4; give a multiple of 4"):
        stitch.cuts(100, 30, stitch.Field(3, 4))
    assert len(stitch.cuts(100, 20, stitch.Field(9, 2))) == 41
