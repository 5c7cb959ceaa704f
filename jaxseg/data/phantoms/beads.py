"""Draws phantom micrographs of beads, with the pixels of each bead and the pixel size.

Polystyrene-like beads of 5 micrometres lie in one layer under transmitted light. They
come alone, in clusters that touch, and some lie partly on one another. An image shows
20 to 300 of them, spread evenly over the logarithm of their number: their mean of about
100 and their deviation of about 75 are those of the published set of bead photographs
(109 and 81 an image), and so is the share of the pixels of an image of 256x256, about
0.11. The microscope is not quite in focus and the slide is tilted, so rims are sharp
here and blurred there (`_beads_optics.py`). The lamp is uneven, the camera has noise,
and there is what is no bead: dust, specks of dirt, fibres, and drops far out of focus.

A bead is the disc of its outline, whether it is in focus or not. Where two lie on one
another the pixels belong to the upper one. Pixel sizes are of three objectives, so the
same beads are about 8, 10 or 11 pixels wide.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8, UInt16

from jaxseg.data.phantoms import _beads_optics as optics
from jaxseg.errors import ConfigError

FEWEST, MOST = 20, 300  # beads of an image
DIAMETER = 5.0  # micrometres
PIXEL_SIZES = (0.45, 0.52, 0.60)  # micrometres, of three objectives
SMALLEST = 48
_SPREAD = 0.05  # of the diameters, as a share
_COVERED = 0.38  # of the pixels, at most: fewer beads where there is no room
_CLOSEST = 0.74  # distance of two middles, as a share of the sum of the radii
_TRIES = 60  # places for one bead
_GOLDEN = 0.6180339887498949


class Picture(NamedTuple):
    """One image and what is true of it."""

    image: UInt8[np.ndarray, "h w"]
    instances: UInt16[np.ndarray, "h w"]  # 1..n, 0 = no bead
    pixel_size: float  # micrometres


def draw(index: int, *, size: int | tuple[int, int], seed: int) -> Picture:
    """The Picture with this number; `size` is the side, or height and width.

    A pure function of the arguments. Small images have fewer beads, so that at most
    about 38 % of the pixels are covered. Raises ConfigError for a side below 48.
    """
    shape = (size, size) if isinstance(size, int) else tuple(size)
    if min(shape) < SMALLEST:
        raise ConfigError(
            f"Phantom beads of {shape[0]}x{shape[1]} pixels cannot be drawn: each side "
            f"needs at least {SMALLEST}."
        )
    rng = np.random.default_rng((seed, index, 2))
    pixel_size = PIXEL_SIZES[(seed + index) % len(PIXEL_SIZES)]
    radius = DIAMETER / pixel_size / 2
    room = int(_COVERED * shape[0] * shape[1] / (np.pi * radius**2))
    middles, radii = _place(rng, shape, radius, min(_number(index, seed), room))
    ids = _outlines(shape, middles, radii)
    density = _density(rng, shape, middles, radii) + _debris(rng, shape)
    return Picture(_expose(rng, _lamp(rng, shape) * np.exp(density)), ids, pixel_size)


def _number(index: int, seed: int) -> int:
    """Of beads: quantiles are spread evenly over consecutive indices."""
    first = np.random.default_rng((seed, 3)).random()
    u = (first + index * _GOLDEN) % 1.0
    return round(FEWEST * (MOST / FEWEST) ** u)


def _place(rng, shape, radius, number):
    """(middles f64 [n, 2] as x, y; radii f64 [n]), in the order in which beads fall."""
    clustered = rng.uniform(0.15, 0.75)  # share of beads that lie at another one
    middles, radii = np.zeros((number, 2)), np.zeros(number)
    done = 0
    for _ in range(_TRIES * number):
        if done == number:
            break
        own = radius * rng.normal(1, _SPREAD)
        at = rng.uniform(0, 1, 2) * shape[::-1] - 0.5
        if done and rng.random() < clustered:
            other = rng.integers(done)
            near = rng.uniform(0.78, 0.97) if rng.random() < 0.2 else 1.02
            angle = rng.uniform(0, 2 * np.pi)
            way = near * (own + radii[other])
            at = middles[other] + way * np.array([np.cos(angle), np.sin(angle)])
        inside = ((at > -0.5) & (at < np.array(shape[::-1]) - 0.5)).all()
        gaps = np.hypot(*(middles[:done] - at).T) / (radii[:done] + own)
        if inside and (gaps > _CLOSEST).all() and np.count_nonzero(gaps < 0.98) <= 1:
            middles[done], radii[done] = at, own
            done += 1
    return middles[:done], radii[:done]


def _outlines(shape, middles, radii) -> UInt16[np.ndarray, "h w"]:
    """The discs of the beads, the later ones on top, numbered from 1 without a gap."""
    ids = np.zeros(shape, np.uint16)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for number, ((mx, my), radius) in enumerate(zip(middles, radii, strict=True), 1):
        top, left = max(int(my - radius), 0), max(int(mx - radius), 0)
        part = np.s_[top : int(my + radius) + 2, left : int(mx + radius) + 2]
        ids[part][(x[part] - mx) ** 2 + (y[part] - my) ** 2 <= radius**2] = number
    return ids


def _density(rng, shape, middles, radii) -> Float[np.ndarray, "h w"]:
    """The logarithm of the light that comes through the beads."""
    density = np.zeros(shape)
    tilt, focus = rng.normal(0, 0.35, 2), rng.normal(0, 0.35)
    depth = rng.uniform(0.55, 0.95)
    for middle, radius in zip(middles, radii, strict=True):
        from_middle = 2 * (middle / np.array(shape[::-1])) - 1
        defocus = float(focus + tilt @ from_middle + rng.normal(0, 0.15))
        optics.add(density, middle, radius, np.clip(defocus, -1.1, 1.1), depth)
    return density


def _debris(rng, shape) -> Float[np.ndarray, "h w"]:
    """The logarithm of the light that comes through dirt, fibres and drops."""
    density = np.zeros(shape)
    area = shape[0] * shape[1] / 256**2
    sides = np.array(shape[::-1])
    for _ in range(rng.poisson(9 * area)):  # specks, dark, smaller than a bead
        at, radius = rng.uniform(0, 1, 2) * sides, rng.uniform(0.7, 2.2)
        _dot(density, at, radius, -rng.uniform(0.2, 0.9))
    for _ in range(rng.poisson(2.5 * area)):  # drops and dust far out of focus
        at, radius = rng.uniform(0, 1, 2) * sides, rng.uniform(9, 26)
        _dot(density, at, radius, rng.uniform(-0.16, 0.10))
    for _ in range(rng.poisson(0.7 * area)):
        density -= rng.uniform(0.15, 0.45) * _fibre(rng, shape)
    return density


def _dot(density, at, radius, power) -> None:
    """Adds a smooth dot of about `radius` to the density, in place."""
    left, top = (max(int(m - 3 * radius), 0) for m in at)
    right, bottom = (int(m + 3 * radius) + 2 for m in at)
    part = density[top:bottom, left:right]
    y = np.arange(part.shape[0])[:, None] + (top - at[1])
    x = np.arange(part.shape[1]) + (left - at[0])
    part += power * np.exp(-((np.hypot(x, y) / radius) ** 3))


def _fibre(rng, shape) -> Float[np.ndarray, "h w"]:
    """A thin curved line, 1 in its middle."""
    sides = np.array(shape[::-1])
    steps = np.cumsum(rng.normal(0, 0.06, 90)) + rng.uniform(0, 2 * np.pi)
    way = np.cumsum(np.stack([np.cos(steps), np.sin(steps)], -1), 0) * 1.6
    points = np.rint((rng.uniform(0, 1, 2) * sides + way) * 16).astype(np.int32)
    canvas = np.zeros(shape, np.uint8)
    cv2.polylines(canvas, [points], False, 255, 1, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.6, 1.4)).astype(float) / 160


def _lamp(rng, shape) -> Float[np.ndarray, "h w"]:
    """The light without beads: bright in a middle that is not that of the image."""
    y = np.linspace(-1, 1, shape[0])[:, None] - rng.normal(0, 0.3)
    x = np.linspace(-1, 1, shape[1]) - rng.normal(0, 0.3)
    tilt = rng.normal(0, 0.12, 2)
    lamp = 1 + tilt[0] * x + tilt[1] * y - rng.uniform(0.05, 0.28) * (x**2 + y**2)
    return np.clip(rng.normal(0.50, 0.08), 0.33, 0.68) * np.clip(lamp, 0.25, 1.6)


def _expose(rng, light: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """The levels of the camera: noise of photons and of reading."""
    photons = rng.uniform(700, 2600)
    noise = rng.standard_normal(light.shape) * np.sqrt(light / photons + 0.006**2)
    return np.rint(255 * np.clip(light + noise, 0, 1)).astype(np.uint8)
