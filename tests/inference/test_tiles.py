"""Tiles cover an image of any size, and joined they are what the whole image gives."""

import functools

import flax.linen as nn
import jax
import numpy as np
import pytest

from jaxseg.data import crops, pipeline
from jaxseg.inference import forward, image, tiles

TILE = (16, 24)
# one pixel, one row, smaller than the tile on one axis or both, equal, primes
SIZES = [(1, 1), (1, 90), (90, 1), (9, 11), (16, 24), (17, 24), (11, 97), (61, 53)]


class Network(nn.Module):
    """Fully convolutional, three classes; sees kernel // 2 pixels around a pixel."""

    kernel: int

    @nn.compact
    def __call__(self, image, *, train):
        return {"logits": nn.Conv(3, (self.kernel, self.kernel))(image)}


@functools.cache
def network(kernel):
    """u8 [b, h, w, 1] -> probabilities, of one set of weights."""
    model = Network(kernel)
    variables = model.init(jax.random.key(0), np.zeros((1, 8, 8, 1)), train=False)
    scaled = jax.tree.map(lambda x: 4 * x, variables)  # confident: far from 1/3
    normalise = functools.partial(forward.scale, mean=(0.5,), std=(0.25,))
    predict = functools.partial(forward.predict, model=model, normalise=normalise)
    run = jax.jit(lambda pixels: predict(scaled, {"image": pixels}))
    return lambda pixels: np.asarray(run(pixels))


def pixels(size):
    rng = np.random.default_rng(size)
    return rng.integers(0, 256, (*size, 1)).astype(np.uint8)


def view(tile=TILE, overlap=0.5):
    return pipeline.View(tile, "crop", "none", None, None, overlap=overlap)


def predicted(size, kernel, **options):
    return image.predict(
        pixels(size),
        view=view(**options),
        maps=network(kernel),
        num_classes=3,
        operating_point=None,
    )


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("length", [1, 7, 16, 17, 24, 25, 31, 33, 101, 997])
def test_the_tiles_of_an_axis_cover_it_and_overlap_enough(length, overlap):
    starts = tiles.starts(length, 16, overlap)
    if length <= 16:
        assert starts == (-((16 - length) // 2),)
        return
    assert starts[0] == 0 and starts[-1] == length - 16
    steps = np.diff(starts)
    assert (steps > 0).all() and steps.max() - steps.min() <= 1
    assert steps.max() <= np.ceil(16 * (1 - overlap))
    fewer = len(starts) - 1
    assert fewer == 1 or (length - 16) / (fewer - 1) > 16 * (1 - overlap)


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("length", [1, 16, 17, 40, 997])
def test_weights_sum_to_one_at_every_pixel_and_are_largest_in_the_middle(
    length, overlap
):
    weights = tiles.weights(length, 16, overlap)
    total = np.zeros(length + 32)
    for row, start in zip(weights, tiles.starts(length, 16, overlap), strict=True):
        total[16 + start : 32 + start] += row
    np.testing.assert_allclose(total[16 : 16 + length], 1, atol=1e-6)
    assert (total[:16] == 0).all() and (total[16 + length :] == 0).all()
    if length == 40 and overlap == 0.5:
        middle = weights[1]
        assert middle.argmax() in (7, 8) and middle[0] < 0.01
        np.testing.assert_allclose(middle, middle[::-1], atol=1e-6)
        assert (weights[0][:4] == 1).all()  # nothing else sees the border


@pytest.mark.parametrize("size", SIZES)
def test_an_image_of_any_size_comes_back_at_its_size(size):
    answer = predicted(size, 3)
    assert answer.classes.shape == size and answer.probability.shape == (*size, 3)
    np.testing.assert_allclose(answer.probability.sum(-1), 1, atol=1e-5)
    assert answer.probability.max() <= 1 and answer.probability.dtype == np.float32


@pytest.mark.parametrize("size", SIZES)
def test_a_network_that_sees_one_pixel_gives_the_same_by_tiles(size):
    """To float rounding: the sum of weighted equal numbers."""
    whole = network(1)(pixels(size)[None])[0]
    np.testing.assert_allclose(predicted(size, 1).probability, whole, atol=2e-6)


@pytest.mark.parametrize("size", [(61, 53), (97, 89), (40, 200)])
def test_seams_are_invisible(size):
    """A 3 x 3 network differs only by what its padding changes at a tile's border.

    There the weight is below e^-7 of the centre's, and the border of another tile is
    never at the same pixel; so 2e-3 holds where the step of a hard seam is up to 1.
    """
    whole = network(3)(pixels(size)[None])[0]
    joined = predicted(size, 3).probability
    assert abs(joined - whole).max() < 2e-3
    hard = predicted(size, 3, overlap=0.0).probability
    assert abs(hard - whole).max() > 0.1  # the test can fail


def test_a_large_image_is_predicted_in_one_compiled_shape():
    shapes = []

    def probabilities(batch):
        shapes.append(batch.shape)
        return np.concatenate([1 - batch / 255.0, batch / 255.0], -1)

    big = np.random.default_rng(0).integers(0, 256, (3000, 4000, 1)).astype(np.uint8)
    answer = image.predict(
        big,
        view=view((512, 512)),
        maps=probabilities,
        num_classes=2,
        operating_point={"threshold": 0.5, "min_area": 0.0},
    )
    assert set(shapes) == {(1, 512, 512, 1)} and len(shapes) == 11 * 15
    np.testing.assert_allclose(answer.probability[..., 1], big[..., 0] / 255, atol=2e-6)
    np.testing.assert_array_equal(answer.classes, big[..., 0] > 127)


def test_what_lies_outside_a_small_image_is_black_and_changes_nothing_in_it():
    small = pixels((5, 7))
    seen = []
    image.predict(
        small,
        view=view(),
        maps=lambda b: seen.append(b) or np.ones((*b.shape[:3], 3)) / 3,
        num_classes=3,
        operating_point=None,
    )
    (batch,) = seen
    np.testing.assert_array_equal(batch[0, 5:10, 8:15], small)
    assert batch.sum() == small.sum()
    assert (crops.centred(5, 16), crops.centred(7, 24)) == (-5, -8)
