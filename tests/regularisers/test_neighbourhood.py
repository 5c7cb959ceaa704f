"""Pseudo-labels near clicks: the rule written out, pixel by pixel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from jaxseg import errors
from jaxseg.regularisers import neighbourhood
from jaxseg.types import IGNORE

SETTINGS = {"radius": 2, "colour": 0.3, "confidence": 0.5}


def example(seed=0, shape=(3, 7, 6), classes=3):
    rng = np.random.default_rng(seed)
    mask = rng.choice([0, 1, 2, IGNORE], shape, p=[0.05, 0.05, 0.05, 0.85])
    teacher = scipy.special.softmax(2 * rng.normal(size=(*shape, classes)), -1)
    image = rng.uniform(size=(*shape, 2))
    logits = rng.normal(size=(*shape, classes))
    parts = (logits, teacher, image)
    return *(x.astype(np.float32) for x in parts), mask.astype(np.uint8)


def cost(logits, teacher, image, mask, **settings):
    logits, teacher, image, mask = map(jnp.asarray, (logits, teacher, image, mask))
    settings = SETTINGS | settings
    return neighbourhood.loss(logits, mask, image=image, teacher=teacher, **settings)


def pseudo_label(b, y, x, teacher, image, mask, *, radius, colour, confidence):
    """The class that the rule gives a pixel, or None."""
    c = np.argmax(teacher[b, y, x])
    if mask[b, y, x] != IGNORE or not teacher[b, y, x, c] > confidence:
        return None
    for j, i in np.argwhere(mask[b] == c):
        near = (j - y) ** 2 + (i - x) ** 2 <= radius**2
        if near and (np.abs(image[b, j, i] - image[b, y, x]) <= colour).all():
            return c
    return None


@pytest.mark.parametrize(
    "settings",
    [{}, {"radius": 1}, {"colour": 0.0}, {"colour": 1.0}, {"confidence": 0.8}],
)
def test_equals_the_rule_pixel_by_pixel(settings):
    logits, teacher, image, mask = example()
    image = np.round(4 * image) / 4  # so that equal colours occur
    settings = SETTINGS | {"radius": 3} | settings
    log_p = scipy.special.log_softmax(logits.astype(np.float64), -1)
    want, given = [], 0
    for b in range(3):
        costs = {}
        for y, x in np.ndindex(7, 6):
            c = pseudo_label(b, y, x, teacher, image, mask, **settings)
            if c is not None:
                costs.setdefault(c, []).append(-log_p[b, y, x, c])
        want.append(np.mean([np.mean(v) for v in costs.values()]) if costs else 0)
        given += sum(map(len, costs.values()))
    assert given > 0
    got = cost(logits, teacher, image, mask, **settings)
    np.testing.assert_allclose(got, want, rtol=1e-5)


def one_click(teacher=0.9):
    """A click of class 1 in the middle of a flat image, and a sure teacher."""
    mask = np.full((1, 9, 9), IGNORE, np.uint8)
    mask[0, 4, 4] = 1
    p = np.broadcast_to(np.float32([1 - teacher, teacher]), (1, 9, 9, 2))
    image = np.full((1, 9, 9, 1), 0.5, np.float32)
    return np.zeros((1, 9, 9, 2), np.float32), p, image, mask


def reached(*parts, **settings):
    """The pixels that learn, as the loss has a slope there."""
    slope = jax.grad(lambda z: cost(z, *parts[1:], **settings).sum())(
        jnp.asarray(parts[0])
    )
    return np.any(np.asarray(slope) != 0, -1)[0]


def test_a_disc_around_the_click_learns_but_not_the_click():
    y, x = np.mgrid[-4:5, -4:5]
    for radius in (1, 2, 3):
        disc = (y**2 + x**2 <= radius**2) & (y**2 + x**2 > 0)
        np.testing.assert_array_equal(reached(*one_click(), radius=radius), disc)
    # ln 2 each, whatever the number of pixels
    np.testing.assert_allclose(cost(*one_click()), [np.log(2)], rtol=1e-6)


def test_another_colour_an_unsure_or_another_teacher_stops_it():
    logits, teacher, image, mask = one_click()
    image = image.copy()
    image[0, 3:6, 5] = 0.9  # a wall to the right
    learns = reached(logits, teacher, image, mask, radius=1)
    assert learns[4, 3] and not learns[4, 5]
    assert not reached(*one_click(0.6), confidence=0.7).any()
    assert not reached(*one_click(0.1)).any()  # sure of the other class
    assert cost(*one_click(0.1)) == 0


def test_what_is_guessed_elsewhere_changes_nothing_finite_or_not():
    parts = one_click()
    logits = np.random.default_rng(0).normal(size=(1, 9, 9, 2)).astype(np.float32)
    learns = reached(*parts, radius=2)
    for value in (1e4, np.inf, np.nan):
        other = np.where(learns[None, ..., None], logits, np.float32(value))
        np.testing.assert_array_equal(cost(other, *parts[1:]), cost(logits, *parts[1:]))
        np.testing.assert_array_equal(reached(other, *parts[1:]), learns)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"radius": 0}, "radius is 0"),
        ({"colour": -0.1}, "colour is -0.1"),
        ({"confidence": 1.0}, "confidence is 1.0, but must be at least 0 and below 1"),
    ],
)
def test_wrong_settings_are_named(settings, words):
    with pytest.raises(errors.ConfigError, match=words):
        cost(*one_click(), **settings)
