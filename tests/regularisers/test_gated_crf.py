"""Gated CRF: the sum over pairs written out, and its slope by automatic means."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from jaxseg import errors
from jaxseg.regularisers import gated_crf

SETTINGS = {"radius": 2, "sigma_rgb": 0.3, "sigma_xy": 1.7}


def example(seed=0, shape=(2, 6, 7), classes=3, channels=2):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(*shape, classes)).astype(np.float32)
    image = rng.uniform(size=(*shape, channels)).astype(np.float32)
    image[0, :2, :3] = 0  # outside
    return logits, image


def cost(logits, image, **settings):
    mask = jnp.zeros(logits.shape[:-1], jnp.int32)
    return gated_crf.loss(
        jnp.asarray(logits), mask, image=jnp.asarray(image), **(SETTINGS | settings)
    )


def loops(p, image, counts, *, radius, sigma_rgb, sigma_xy):
    """The energy of one image, pixel by pixel, neighbour by neighbour."""
    height, width, _ = p.shape
    energy = 0.0
    for y, x in np.argwhere(counts):
        for j in range(max(0, y - radius), min(height, y + radius + 1)):
            for i in range(max(0, x - radius), min(width, x + radius + 1)):
                if counts[j, i] and (j, i) != (y, x):
                    far = ((j - y) ** 2 + (i - x) ** 2) / (2 * sigma_xy**2)
                    change = np.sum((image[j, i] - image[y, x]) ** 2)
                    kernel = np.exp(-far - change / (2 * sigma_rgb**2))
                    energy += kernel * (1 - p[y, x] @ p[j, i])
    return energy / max(np.sum(counts), 1)


def cells(p, image, counts, factor):
    """Means over cells of the pixels that count, and which cells hold any."""
    height, width, _ = p.shape
    size = -(-height // factor), -(-width // factor)
    coarse = [np.zeros((*size, part.shape[-1])) for part in (p, image)]
    there = np.zeros(size, bool)
    for y, x in np.ndindex(size):
        rows, columns = (slice(factor * a, factor * a + factor) for a in (y, x))
        inside = counts[rows, columns]
        there[y, x] = inside.any()
        for mean, part in zip(coarse, (p, image), strict=True):
            if inside.any():
                mean[y, x] = part[rows, columns][inside].mean(0)
    return *coarse, there


def reference(logits, image, *, skip, downsample):
    """The energy of every image in float64, from loops."""
    p = scipy.special.softmax(logits.astype(np.float64), -1)
    counts = np.any(image != 0, -1) | (not skip)
    coarse = [cells(*each, downsample) for each in zip(p, image, counts, strict=True)]
    return np.array([loops(*each, **SETTINGS) for each in coarse])


cases = pytest.mark.parametrize("skip", [False, True])
factors = pytest.mark.parametrize("downsample", [1, 2, 3])  # of 6 x 7 pixels


@cases
@factors
def test_equals_loops_over_pairs(skip, downsample):
    logits, image = example()
    got = cost(logits, image, skip_black=skip, downsample=downsample)
    want = reference(logits, image, skip=skip, downsample=downsample)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    other = reference(logits, image, skip=not skip, downsample=downsample)
    assert abs(got[0] - other[0]) > 0.01


@cases
@factors
def test_the_slope_is_that_of_the_energy(skip, downsample):
    """One walk gives value and slope: the slope against the reference, moved a bit."""
    logits, image = example()
    along = np.random.default_rng(1).normal(size=logits.shape)
    slope = jax.grad(
        lambda z: cost(z, image, skip_black=skip, downsample=downsample).sum()
    )(jnp.asarray(logits))
    moved = [
        reference(logits + step * along, image, skip=skip, downsample=downsample).sum()
        for step in (-1e-4, 1e-4)
    ]
    want = (moved[1] - moved[0]) / 2e-4
    np.testing.assert_allclose(np.sum(slope * along), want, rtol=1e-4)


def test_the_slope_equals_that_of_all_pairs_at_once():
    logits, image = example(shape=(1, 5, 4))

    def pairs(z):
        p = jax.nn.softmax(z).reshape(20, -1)
        place = jnp.stack(jnp.divmod(jnp.arange(20), 4), -1)
        far = place[:, None] - place[None]
        change = image.reshape(20, 1, 2) - image.reshape(1, 20, 2)
        kernel = jnp.exp(
            -jnp.sum(far**2, -1) / (2 * 1.7**2) - jnp.sum(change**2, -1) / (2 * 0.3**2)
        ) * (jnp.max(jnp.abs(far), -1) <= 2)
        kernel *= 1 - jnp.eye(20)
        return jnp.sum(kernel * (1 - p @ p.T)) / 20

    z = jnp.asarray(logits)
    value, want = jax.value_and_grad(pairs)(z)
    np.testing.assert_allclose(cost(z, image), [value], rtol=1e-5)
    got = jax.grad(lambda z: cost(z, image).sum())(z)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-7)


def test_a_border_is_cheaper_where_the_image_has_one():
    image = np.zeros((1, 8, 8, 1), np.float32)
    image[:, :, 4:] = 1
    costs = []
    for edge in (4, 2):
        z = np.zeros((1, 8, 8, 2), np.float32)
        z[:, :, :edge, 0] = z[:, :, edge:, 1] = 200
        costs.append(float(cost(z, image, sigma_rgb=0.1)[0]))
    assert costs[0] < 1e-6 < 1 < costs[1]
    same = np.broadcast_to(z[:, :1, :1], z.shape)
    assert cost(same, image)[0] == 0


def test_memory_does_not_grow_with_the_window():
    logits, image = example(shape=(1, 32, 32))

    def bytes_of(radius):
        grad = jax.grad(lambda z: cost(z, image, radius=radius).sum())
        work = jax.jit(grad).lower(jnp.asarray(logits)).compile().memory_analysis()
        return work.temp_size_in_bytes

    # 8 times as many neighbours; what grows is the margin around the image
    assert bytes_of(6) < 2 * bytes_of(2)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"radius": 0}, "radius is 0, but must be a whole number"),
        ({"radius": 2.5}, "radius is 2.5"),
        ({"sigma_rgb": 0.0}, "sigma_rgb is 0.0"),
        ({"sigma_xy": float("nan")}, "sigma_xy is nan"),
        ({"downsample": 0}, "downsample is 0"),
    ],
)
def test_wrong_settings_are_named(settings, words):
    with pytest.raises(errors.ConfigError, match=words):
        cost(*example(), **settings)
