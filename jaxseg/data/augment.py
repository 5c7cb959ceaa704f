"""Augments a batch inside jit: one warp and four changes of tone.

Every setting is a plain number that is fixed while tracing, and its default changes
nothing: what is off costs nothing. All settings are magnitudes of a uniform draw, or
probabilities.

    flip_horizontal, flip_vertical   probability of a mirror image
    rotate_degrees                   turn by up to this much either way
    scale                            (low, high): above 1 objects grow; drawn in log
    shift                            move by up to this share of the height and width
    shear_degrees                    slant by up to this much either way
    rotate_probability, scale_probability, shift_probability, shear_probability
                                     of each of these alone
    affine_probability               of all four: the others are drawn where it holds
    border                           what lies outside: "constant" or "reflect"
    elastic_pixels                   largest bend; a typical one is a quarter of it
    elastic_cells                    the bend has so many cells along each side
    brightness                       add up to this much either way
    contrast                         stretch about the mean by up to this share
    gamma                            power between 1/(1+gamma) and 1+gamma, in log
    noise                            white noise, standard deviation up to this much
    clip                             keep [0, 1] after each tone, gamma last
    <name>_probability               of elastic, brightness, contrast, gamma, noise

Flip, affine and elastic are one sampling grid, used for image (bilinear) and mask
(nearest), so the two cannot part. What comes from outside is IGNORE in the mask and 0
in the image ("constant"), or both are mirrored about the outermost pixels ("reflect").
Object ids go with the mask, 0 outside; the mirror image of an object is part of it.
Never the repeated edge: streaks drawn from an edge look like structure, black looks
like the border of a detector and like padding.

Tones are not clipped to [0, 1]: a model gets values of any range, and a clip at 0 would
erase a dim object whose label stays. Contrast and brightness keep the differences
between pixels, or scale all of them alike. `clip` is what older runs did.

The numbers of an example depend on the key, its position in the whole batch and the
operation, so they are the same for any layout of devices, and switching one operation
on leaves the draws of the others as they were.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, PRNGKeyArray

from jaxseg.data import _warp, augment_settings

# The position of an operation is part of its random numbers: append, never reorder.
_FLIP, _AFFINE, _ELASTIC, _BRIGHTNESS = range(4)
_CONTRAST, _GAMMA, _NOISE, _WHITE, _AFFINE_PARTS = range(4, 9)


def augment(
    image: Float[Array, "b h w c"],
    mask: Integer[Array, "b h w"],
    key: PRNGKeyArray,
    *,
    sparse: bool = False,
    instances: Integer[Array, "b h w"] | None = None,
    flip_horizontal: float = 0.0,
    flip_vertical: float = 0.0,
    rotate_degrees: float = 0.0,
    rotate_probability: float = 1.0,
    scale: Sequence[float] = (1.0, 1.0),
    scale_probability: float = 1.0,
    shift: float = 0.0,
    shift_probability: float = 1.0,
    shear_degrees: float = 0.0,
    shear_probability: float = 1.0,
    affine_probability: float = 1.0,
    border: str = "constant",
    elastic_pixels: float = 0.0,
    elastic_cells: int = 4,
    elastic_probability: float = 1.0,
    brightness: float = 0.0,
    brightness_probability: float = 1.0,
    contrast: float = 0.0,
    contrast_probability: float = 1.0,
    gamma: float = 0.0,
    gamma_probability: float = 1.0,
    noise: float = 0.0,
    noise_probability: float = 1.0,
    clip: bool = False,
    **unknown: Any,
) -> tuple[Array, ...]:
    """A changed image and the mask that belongs to it; `image` is in [0, 1].

    With `instances`, object ids with 0 for none, theirs come third. The settings are
    explained above; without `clip` tones may leave [0, 1]. `b` is the whole batch of
    all processes. In a `sparse` mask (clicks) every labelled pixel stays one labelled
    pixel. Raises ConfigError while tracing for a setting that is unknown or out of its
    range, for a bend so strong that it would fold the image over itself, and for a
    reflected border of sparse labels.
    """
    settings = dict(locals())  # first, while there is nothing but the arguments
    augment_settings.check_names(unknown)
    augment_settings.check(settings, image.shape[1:3])
    augment_settings.check_border(border, sparse=sparse)
    slots = jnp.arange(image.shape[0])
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, slots)

    # Tone before the warp: outside stays 0. Noise after: it stays white.
    image = _tones(image, keys, settings)
    labels = (mask,) if instances is None else (mask, instances)
    image, *labels = _geometry(image, labels, keys, settings)
    if noise:
        on, u = _draw(keys, _NOISE, noise_probability)
        white = jax.vmap(lambda k: jax.random.normal(k, image.shape[1:]))
        drawn = jax.lax.optimization_barrier(white(_operation(keys, _WHITE)))
        spread = _wide(noise * jnp.abs(u)) * drawn
        image = _where(on, _within(image + spread, clip), image)
    return image, *labels


def _tones(image, keys, settings):
    """Gamma, contrast and brightness; gamma needs [0, 1], so where nothing is clipped
    it comes first."""
    first = ("contrast", "brightness", "gamma")
    order = first if settings["clip"] else ("gamma", "contrast", "brightness")
    for name in order:
        if not settings[name]:
            continue
        change, operation = _TONES[name]
        on, u = _draw(keys, operation, settings[f"{name}_probability"])
        changed = change(image, u, settings[name])
        image = _where(on, _within(changed, settings["clip"]), image)
    return image


def _gamma(image, u, most):
    power = jnp.exp(math.log1p(most) * u)
    # exp(p log x) is 4 times faster than x ** p on a CPU; 0 stays 0.
    return jnp.exp(_wide(power) * jnp.log(image))


def _contrast(image, u, most):
    mean = jnp.mean(image, (1, 2, 3), keepdims=True)
    return mean + (image - mean) * (1 + _wide(most * u))


def _brightness(image, u, most):
    return image + _wide(most * u)


_TONES = {
    "gamma": (_gamma, _GAMMA),
    "contrast": (_contrast, _CONTRAST),
    "brightness": (_brightness, _BRIGHTNESS),
}


def _within(image, clip):
    return jnp.clip(image, 0, 1) if clip else image


def _geometry(image, labels, keys, settings):
    """Flip, affine and elastic as one warp; only what is switched on is traced."""
    batch, height, width, _ = image.shape
    flips = (settings["flip_vertical"], settings["flip_horizontal"])
    low, high = settings["scale"]
    turn = math.radians(settings["rotate_degrees"])
    slant = math.tan(math.radians(settings["shear_degrees"]))
    affine = bool(turn or slant or settings["shift"] or (low, high) != (1, 1))
    if not (any(flips) or affine or settings["elastic_pixels"]):
        return image, *labels

    chance = jax.vmap(lambda k: jax.random.uniform(k, (2,)))(_operation(keys, _FLIP))
    flipped = chance < jnp.asarray(flips)[None]
    if not (affine or settings["elastic_pixels"]):
        return _flip(image, labels, flipped)

    on, u = _draw(keys, _AFFINE, settings["affine_probability"], 5)
    turned, scaled, slanted, shifted = (on & part for part in _parts(keys, settings))
    middle, half = math.log(high * low) / 2, math.log(high / low) / 2
    matrix = _warp.matrices(
        jnp.where(turned, turn * u[:, 0], 0.0),
        jnp.where(scaled, middle + half * u[:, 1], 0.0),
        jnp.where(slanted, slant * u[:, 2], 0.0),
        jnp.where(flipped, -1.0, 1.0),
    )
    u = jnp.where(shifted[:, None], u[:, 3:], 0.0)
    shift = settings["shift"] * u * jnp.asarray([[height, width]])
    place = jnp.broadcast_to(_warp.grid(height, width), (batch, 2, height, width))
    if settings["elastic_pixels"]:
        points = (2, settings["elastic_cells"] + 3, settings["elastic_cells"] + 3)
        on, u = _draw(
            keys, _ELASTIC, settings["elastic_probability"], math.prod(points)
        )
        control = (
            _where(on, u.reshape(batch, *points), 0.0) * settings["elastic_pixels"]
        )
        place = place + _warp.elastic_field(control, height, width)
    place = _warp.source(place, matrix, shift)
    sparse, reflect = settings["sparse"], settings["border"] == "reflect"
    mask, *ids = labels
    instances = ids[0] if ids else None
    return _warp.sample(
        image, mask, place, sparse=sparse, reflect=reflect, instances=instances
    )


def _parts(keys, settings):
    """bool [4, b]: whether each example is turned, scaled, slanted and shifted."""
    names = ("rotate", "scale", "shear", "shift")
    chance = jnp.asarray([[settings[f"{name}_probability"]] for name in names])
    draw = jax.vmap(lambda k: jax.random.uniform(k, (4,)))
    return draw(_operation(keys, _AFFINE_PARTS)).T < chance


def _flip(image, labels, flipped):
    """Flips without fetching single pixels: far cheaper than the warp."""
    for axis, chosen in ((1, flipped[:, 0]), (2, flipped[:, 1])):
        image = _where(chosen, jnp.flip(image, axis), image)
        on = chosen[:, None, None]
        labels = [jnp.where(on, jnp.flip(x, axis), x) for x in labels]
    return image, *labels


def _operation(keys, operation):
    return jax.vmap(jax.random.fold_in, (0, None))(keys, operation)


def _draw(keys, operation, probability, count=None):
    """Whether each example is changed, [b], and by how much, [b] or [b, count]."""
    u = jax.vmap(lambda k: jax.random.uniform(k, (1 + (count or 1),)))(
        _operation(keys, operation)
    )
    magnitude = 2 * u[:, 1:] - 1
    return u[:, 0] < probability, magnitude if count else magnitude[:, 0]


def _wide(values):
    return values[:, None, None, None]


def _where(on, changed, image):
    return jnp.where(_wide(on), changed, image)
