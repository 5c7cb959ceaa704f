"""Draws phantom cell cultures under phase contrast, and the masks of the cells.

A cell is drawn as what the microscope sees of it, a delay of light that grows with
thickness: a dome over an outline that is round, spread or spindle-shaped, with
nucleus, nucleoli, granules and ruffled texture. The optics do the rest: the phase ring
turns and dims the direct light, and as it also catches some of the light that the
cell bent, cells get bright halos and their middle fades to the grey of the
background (halo and shade-off: Yin et al., Understanding the phase contrast optics to
restore artifact-free microscopy images for segmentation, Medical Image Analysis, 2012,
https://doi.org/10.1016/j.media.2011.12.006). Rounded cells are so thick that contrast
turns over: they are bright. So neither bright nor dark means cell.

About 27 % of the pixels are cell, which is what the published results of the weakly
supervised cell set imply. Debris, dust out of focus, uneven light and noise are not
cell. Lengths are given in pixels of an image of 128.
"""

from typing import NamedTuple

import cv2
import numpy as np
from scipy import ndimage

from jaxseg.data.phantoms import _outline
from jaxseg.errors import ConfigError

SMALLEST = 32
_SHARE, _SPREAD = 0.272, 0.06  # of the pixels that are cell: mean and deviation
_REFERENCE = 128
_BITS = 4  # of a pixel's fraction in the coordinates given to cv2
_RING = 0.55  # amplitude that the phase ring lets through
_TRIES = 120  # cells an image gets at most


class Kind(NamedTuple):
    """How cells of one kind look: ranges are drawn from evenly."""

    radius: tuple[float, float]
    stretch: tuple[float, float]  # long over short axis
    rough: float  # of the outline, relative to the radius
    delay: tuple[float, float]  # of the light in the middle, in radians
    dome: float  # 1 rises to the middle like a lens, less is flatter


_KINDS = (
    Kind((7.0, 14.0), (1.0, 1.7), 0.13, (0.16, 0.50), 0.45),  # spread
    Kind((5.0, 9.0), (2.0, 4.0), 0.08, (0.22, 0.60), 0.6),  # spindle
    Kind((4.0, 6.5), (1.0, 1.2), 0.03, (1.7, 2.6), 1.0),  # rounded, before division
)
_MIX = (0.6, 0.25, 0.15)


def draw(index: int, *, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Image u8 [size, size] and mask u8 [size, size], 1 where a cell is.

    A pure function of the arguments; images of other indices are independent. Raises
    ConfigError for a size below 32.
    """
    if size < SMALLEST:
        raise ConfigError(
            f"Phantom cells of size {size} cannot be drawn: at least {SMALLEST} pixels "
            "are needed."
        )
    rng = np.random.default_rng((seed, index))
    unit = size / _REFERENCE
    label, chosen = _place(rng, size, unit)
    delay = _delay(rng, label, chosen, unit) + _debris(rng, size, unit)
    light = _optics(rng, delay, unit) * _lamp(rng, size)
    return _expose(rng, light), (label > 0).astype(np.uint8)


def _place(rng, size, unit):
    """(i32 [h, w] with the number of the cell, 0 is none; the Kind of each cell)."""
    wanted = np.clip(rng.normal(_SHARE, _SPREAD), 0.08, 0.5)
    clustered = rng.uniform(0.2, 0.8)
    label, chosen = np.zeros((size, size), np.int32), []
    canvas, middles = np.zeros((size, size), np.uint8), []
    for _ in range(_TRIES):
        kind = _KINDS[rng.choice(len(_KINDS), p=_MIX)]
        radius = rng.uniform(*kind.radius) * unit
        middle = rng.uniform(-0.05, 1.05, 2) * size
        if middles and rng.random() < clustered:
            other, reach = middles[rng.integers(len(middles))]
            angle = rng.uniform(0, 2 * np.pi)
            away = np.array([np.cos(angle), np.sin(angle)])
            middle = other + away * (radius + reach) * rng.uniform(0.8, 1.05)
        canvas[:] = 0
        outline = middle + radius * _outline.outline(
            rng,
            rough=kind.rough,
            stretch=kind.stretch,
            points=64,
            waves=6,
            least=0.35,
        )
        points = np.rint((outline - 0.5) * (1 << _BITS)).astype(np.int32)
        cv2.fillPoly(canvas, [points], 1, cv2.LINE_8, _BITS)
        new = canvas > 0
        if not new.any() or (label[new] > 0).mean() > 0.25:
            continue
        chosen.append(kind)
        middles.append((middle, radius))
        label[new & (label == 0)] = len(chosen)
        if np.count_nonzero(label) >= wanted * size * size:
            break
    return label, chosen


def _delay(rng, label, chosen, unit):
    """f32 [h, w]: the delay of light by the cells, in radians."""
    edge = ndimage.grey_erosion(label, 3) != label  # seams between cells that touch
    inside = ((label > 0) & ~edge).astype(np.uint8)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5) + (label > 0)
    most = np.ones(len(chosen) + 1, np.float32)
    np.maximum.at(most, label, depth)
    peak = np.append(0, [rng.uniform(*k.delay) for k in chosen]).astype(np.float32)
    dome = np.append(1, [k.dome for k in chosen]).astype(np.float32)
    height = np.clip(depth / most[label], 0, 1)
    height = np.sqrt(1 - (1 - height) ** 2) ** (2 * dome[label])
    height *= label > 0
    grain = 0.30 * _grain(rng, len(label), 0.9 * unit)
    grain += 0.25 * _grain(rng, len(label), 2.5 * unit)
    delay = height * peak[label] * (1 + 0.6 * grain.clip(-1.4, 1.4))
    return delay + height.clip(0, 0.6) * _organelles(rng, label, chosen, unit)


def _organelles(rng, label, chosen, unit):
    """f32 [h, w]: nuclei with nucleoli, and granules around them."""
    value = np.zeros(label.shape, np.float32)
    for number, (part, kind) in enumerate(
        zip(ndimage.find_objects(label), chosen, strict=True), 1
    ):
        if part is None:  # wholly under another cell
            continue
        y, x = np.nonzero(label[part] == number)
        middle = np.array([x.mean() + part[1].start, y.mean() + part[0].start])
        radius = np.sqrt(len(x) / np.pi)
        spread = 0.45 * radius * rng.normal(0, 0.25, 2)
        _dot(value, middle + spread, 0.42 * radius, rng.uniform(-0.30, 0.12))
        for _ in range(rng.integers(1, 4)):
            at = middle + spread + 0.2 * radius * rng.normal(0, 1, 2)
            _dot(value, at, rng.uniform(0.7, 1.2) * unit, rng.uniform(0.2, 0.6))
        if kind.delay[0] < 2:
            for _ in range(rng.integers(3, 12)):
                at = middle + 0.6 * radius * rng.normal(0, 1, 2)
                power = rng.uniform(0.3, 0.9) * rng.choice([-1, 1])
                _dot(value, at, rng.uniform(0.5, 0.9) * unit, power)
    return value * (label > 0)


def _debris(rng, size, unit):
    """f32 [h, w]: fragments and vesicles, small and often as bright as a cell's rim."""
    value = np.zeros((size, size), np.float32)
    for _ in range(rng.poisson(9)):
        at = rng.uniform(0, size, 2)
        _dot(value, at, rng.uniform(0.6, 1.9) * unit, rng.uniform(0.5, 3.0))
    value += 0.012 * _grain(rng, size, 1.5 * unit)  # the coating of the dish
    return value + 0.03 * _grain(rng, size, 5 * unit)


def _dot(value, at, radius, power):
    """Adds a smooth dot of about `radius` to the image, in place."""
    reach = int(np.ceil(2.5 * radius)) + 1
    x, y = (int(v) for v in np.floor(at))
    left, top = max(x - reach, 0), max(y - reach, 0)
    part = value[top : max(y + reach + 1, 0), left : max(x + reach + 1, 0)]
    y = (np.arange(part.shape[0], dtype=np.float32) + (top + 0.5 - at[1])) / radius
    x = (np.arange(part.shape[1], dtype=np.float32) + (left + 0.5 - at[0])) / radius
    part += power * np.exp(-((x**2 + (y**2)[:, None]) ** 1.5))


def _optics(rng, delay, unit):
    """f32 [h, w]: intensity behind the phase ring, about 1 where nothing is."""
    delay = cv2.GaussianBlur(delay, (0, 0), rng.uniform(0.5, 0.8) * unit)
    real, imaginary = np.cos(delay), np.sin(delay)
    width = rng.uniform(3, 5.5) * unit
    direct = [cv2.GaussianBlur(part, (0, 0), width) for part in (real, imaginary)]
    # the ring turns direct light by a quarter: (a + ib) becomes ring * (b - ia)
    real = real - direct[0] + _RING * direct[1]
    imaginary = imaginary - direct[1] - _RING * direct[0]
    return (real**2 + imaginary**2) / _RING**2


def _lamp(rng, size):
    """f32 [h, w]: uneven illumination, and dust far out of focus."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = axis[None] - rng.normal(0, 0.3), axis[:, None] - rng.normal(0, 0.3)
    tilt = rng.normal(0, 0.09, 2)
    lamp = 1 + tilt[0] * x + tilt[1] * y - rng.uniform(0, 0.14) * (x**2 + y**2)
    lamp = lamp.astype(np.float32)
    for _ in range(rng.poisson(0.7)):
        at, radius = rng.uniform(0, size, 2), rng.uniform(0.05, 0.12) * size
        _dot(lamp, at, radius, rng.uniform(-0.12, 0.06))
    return lamp


def _expose(rng, light):
    """u8 [h, w]: gain, noise of photons and of the camera."""
    tone = rng.uniform(0.36, 0.50) * light
    noise = rng.standard_normal(light.shape, np.float32)
    tone = tone + rng.uniform(0.012, 0.03) * np.sqrt(tone.clip(0.02)) * noise
    return np.rint(255 * tone.clip(0, 1)).astype(np.uint8)


def _grain(rng, size, blur):
    """f32 [h, w]: random texture of about unit variance, `blur` pixels coarse."""
    noise = rng.standard_normal((size, size), np.float32)
    return cv2.GaussianBlur(noise, (0, 0), blur) * max(1.0, 3.545 * blur)
