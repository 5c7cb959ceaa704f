"""Draws phantom sections of stained tissue, and masks of five classes.

Stroma is the background. In it lie glands (large, with a pale lumen), vessels (a thin
wall around plasma or red cells), nodules (crowds of small dark nuclei) and ganglion
cells (single large cells with a nucleolus), from common to rare: `SHARES` says how many
of the pixels each class takes, 0.3 % the rarest. No intensity belongs to one class:
the lumen of a gland, plasma and torn stroma are equally pale, every class has nuclei,
and large unlabelled cells lack only the nucleolus of a ganglion cell. The section is
two amounts of stain in every pixel, which absorb light by the law of Beer and Lambert
in the colours of haematoxylin and eosin (Ruifrok and Johnston, Quantification of
histochemical staining by color deconvolution, 2001, https://pubmed.ncbi.nlm.nih.gov/11531144/).
Lengths are given in pixels, so a larger image shows more tissue at the same scale.
"""

from typing import NamedTuple

import cv2
import numpy as np
from scipy import stats

from jaxseg.data.phantoms import _outline
from jaxseg.errors import ConfigError

CLASSES = ("background", "gland", "vessel", "nodule", "ganglion")
SHARES = (0.812, 0.12, 0.05, 0.015, 0.003)  # of the pixels of many images
SMALLEST = 32
_STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])  # haematoxylin, eosin
_GOLDEN = 0.6180339887498949
_TRIES = 40  # places that are tried for one structure
_BITS = 4  # of a pixel's fraction in the coordinates given to cv2


class Kind(NamedTuple):
    """The outlines of one class: ranges are drawn from evenly."""

    radius: tuple[float, float]  # pixels
    stretch: tuple[float, float]  # long over short axis
    rough: float  # of the outline, relative to the radius


_KINDS = (
    Kind((8.0, 17.0), (1.0, 1.8), 0.10),  # gland
    Kind((4.0, 9.0), (1.0, 3.0), 0.06),  # vessel
    Kind((4.5, 8.5), (1.0, 1.5), 0.12),  # nodule
    Kind((2.4, 3.8), (1.0, 1.4), 0.05),  # ganglion cell
)


class Layout(NamedTuple):
    """Where the structures of one section are."""

    mask: np.ndarray  # u8 [h, w], class ids
    number: np.ndarray  # i32 [h, w], of the structure from 1 on; 0 is stroma
    middles: list[np.ndarray]  # (x, y) of each structure, and
    radii: list[float]


def draw(
    index: int, *, size: int | tuple[int, int], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Image u8 [h, w, 3] and mask u8 [h, w] with the ids of `CLASSES`.

    `size` is the side, or height and width. The result is a pure function of the
    arguments. The numbers of structures are Poisson numbers whose quantiles are spread
    evenly over consecutive indices, so that few images already have the shares of many.
    Raises ConfigError for a side below 32.
    """
    shape = (size, size) if isinstance(size, int) else tuple(size)
    if min(shape) < SMALLEST:
        raise ConfigError(
            f"Phantom tissue of {shape[0]}x{shape[1]} pixels cannot be drawn: each "
            f"side needs at least {SMALLEST}."
        )
    rng = np.random.default_rng((seed, index))
    layout = _place(rng, shape, _quantiles(index, seed))
    nuclear, eosin = _stain(rng, layout)
    return _expose(rng, nuclear, eosin), layout.mask


def _quantiles(index, seed):
    """f64 [4], one a class in (0, 1), evenly spread over the indices."""
    phase = np.random.default_rng((seed, 0, 0)).random(len(_KINDS))
    return np.clip((phase + _GOLDEN * index) % 1, 1e-6, 1 - 1e-6)


def _place(rng, shape, quantiles) -> Layout:
    layout = Layout(np.zeros(shape, np.uint8), np.zeros(shape, np.int32), [], [])
    canvas, taken = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    for k, (kind, quantile) in enumerate(zip(_KINDS, quantiles, strict=True), 1):
        margin = kind.radius[1]  # middles may lie outside, so borders are no special
        height, width = shape[0] + 2 * margin, shape[1] + 2 * margin
        low, high = (r + 0.5 for r in kind.radius)  # cv2 draws the border as well
        area = np.pi * (low * low + low * high + high * high) / 3
        expected = SHARES[k] * height * width / area
        for _ in range(int(stats.poisson.ppf(quantile, expected))):
            radius = rng.uniform(*kind.radius)
            for _ in range(_TRIES):
                middle = rng.uniform(0, (width, height)) - margin
                outline = middle + radius * _outline.outline(
                    rng,
                    rough=kind.rough,
                    stretch=kind.stretch,
                    points=48,
                    waves=5,
                    least=0.4,
                )
                points = np.rint((outline - 0.5) * (1 << _BITS)).astype(np.int32)
                canvas[:] = 0
                cv2.fillPoly(canvas, [points], 1, cv2.LINE_8, _BITS)
                if not (canvas & taken).any():
                    break
            else:
                continue  # the section is full
            layout.middles.append(middle)
            layout.radii.append(radius)
            layout.mask[canvas > 0] = k
            layout.number[canvas > 0] = len(layout.radii)
            taken |= cv2.dilate(canvas, np.ones((5, 5), np.uint8))
    return layout


def _stain(rng, layout):
    """Amounts of haematoxylin and eosin, each f32 [h, w]."""
    mask, number = layout.mask, layout.number
    shape, count = mask.shape, len(layout.radii) + 1
    depth = cv2.distanceTransform((number > 0).astype(np.uint8), cv2.DIST_L2, 5)
    grain = [_grain(rng, shape, blur) for blur in (0.8, 2.0, 6.0)]
    angle = rng.uniform(0, np.pi)
    eosin = 0.42 + 0.13 * _fibres(rng, shape, angle) + 0.05 * grain[2]
    torn = _grain(rng, shape, 4.0) > rng.uniform(1.5, 2.2)
    eosin[torn] *= 0.35
    nuclear = 0.10 + 0.03 * grain[1]

    # gland: epithelium with a row of nuclei, around a lumen that may be closed
    wall = rng.uniform(3.5, 7.0, count)[number]
    gland, lumen = mask == 1, (mask == 1) & (depth > wall)
    eosin = np.where(gland, 0.40 + 0.08 * grain[0], eosin)
    nuclear = np.where(gland, 0.20 + 0.04 * grain[1], nuclear)
    eosin[lumen] = 0.12 + 0.05 * grain[1][lumen]
    nuclear[lumen] = 0.05

    # vessel: a thin wall, and inside plasma or red cells
    inside = (mask == 2) & (depth > 1.6)
    full = (rng.random(count) < 0.4)[number]
    eosin = np.where(mask == 2, 0.58 + 0.08 * grain[0], eosin)
    eosin = np.where(inside & ~full, 0.14 + 0.05 * grain[1], eosin)
    eosin = np.where(inside & full, 0.62 + 0.22 * grain[0], eosin)

    # nodule: little but nuclei; ganglion cell: much cytoplasm
    eosin = np.where(mask == 3, 0.30 + 0.08 * grain[0], eosin)
    eosin = np.where(mask == 4, 0.55, eosin)
    nuclear = np.where(mask == 4, 0.36 + 0.04 * grain[0], nuclear)

    spots = np.zeros(shape, np.float32)
    basal = gland & (depth > 0.8) & (depth < 3.6)
    _nuclei(rng, spots, (mask == 0) & ~torn, 7.5, (0.9, 1.4), (1.5, 3.5), 0.75, angle)
    _nuclei(rng, spots, basal, 2.4, (0.9, 1.3), (1.0, 1.6), 0.9)
    _nuclei(rng, spots, mask == 3, 2.3, (0.8, 1.2), (1.0, 1.3), 0.95)
    _nuclei(rng, spots, inside & ~full, 6.0, (0.9, 1.1), (1.0, 1.2), 0.2)
    _large_cells(rng, eosin, nuclear, spots, layout)
    return np.maximum(nuclear + spots, 0.01), np.maximum(eosin, 0.01)


def _nuclei(rng, spots, where, spacing, radius, stretch, chance, angle=None):
    """Adds dark nuclei to `spots` where `where`, about `spacing` apart, in place.

    They lie along `angle`, or in any direction.
    """
    height, width = where.shape
    rows, columns = int(height / spacing) + 1, int(width / spacing) + 1
    y, x = np.mgrid[:rows, :columns]
    at = np.stack([x, y], -1) + rng.uniform(0.1, 0.9, (rows, columns, 2))
    at = (at * spacing).reshape(-1, 2)
    at = at[rng.random(len(at)) < chance]
    cell = np.minimum(at.astype(int), (width - 1, height - 1))
    for point in at[where[cell[:, 1], cell[:, 0]]]:
        turn = rng.normal(angle, 0.3) if angle is not None else rng.uniform(0, np.pi)
        _spot(
            spots,
            point,
            rng.uniform(*radius),
            rng.uniform(*stretch),
            turn,
            rng.uniform(0.45, 1.1),
        )


def _large_cells(rng, eosin, nuclear, spots, layout):
    """Draws a nucleus in each ganglion cell, and cells that look like them, in place.

    The others have the same cytoplasm; their nucleus is dark and has no nucleolus.
    """
    height, width = layout.mask.shape
    for k, (middle, radius) in enumerate(
        zip(layout.middles, layout.radii, strict=True), 1
    ):
        if (layout.mask[layout.number == k] == 4).any():
            off = middle + rng.normal(0, 0.12 * radius, 2)
            _spot(nuclear, off, 0.55 * radius, 1.1, 0.0, -0.22)
            _spot(eosin, off, 0.55 * radius, 1.1, 0.0, -0.35)
            _spot(spots, off, 0.9, 1.0, 0.0, 1.6)
    for _ in range(rng.poisson(height * width * 2.0 / 128**2)):
        middle, radius = rng.uniform(0, (width, height)), rng.uniform(2.2, 3.4)
        x, y = middle.astype(int)
        if layout.mask[y, x]:
            continue
        _spot(eosin, middle, radius, 1.2, 0.0, 0.15)
        _spot(nuclear, middle, radius, 1.2, 0.0, 0.20)
        _spot(spots, middle + rng.normal(0, 0.8, 2), 0.5 * radius, 1.2, 0.0, 0.6)


def _spot(value, middle, radius, stretch, turn, amount):
    """Adds a smooth ellipse of about `radius` to the map, in place."""
    reach = int(np.ceil(1.6 * radius * stretch)) + 1
    x, y = (int(v) for v in np.floor(middle))
    left, top = max(x - reach, 0), max(y - reach, 0)
    part = value[top : max(y + reach + 1, 0), left : max(x + reach + 1, 0)]
    dy = np.arange(part.shape[0], dtype=np.float32)[:, None] + (top + 0.5 - middle[1])
    dx = np.arange(part.shape[1], dtype=np.float32) + (left + 0.5 - middle[0])
    c, s, root = np.cos(turn), np.sin(turn), np.sqrt(stretch)
    along, across = (c * dx + s * dy) / root, (c * dy - s * dx) * root
    part += amount * np.exp(-(((along**2 + across**2) / radius**2) ** 2))


def _fibres(rng, shape, angle):
    """f32 [h, w]: wavy fibres along `angle`, of about unit variance."""
    side = int(np.ceil(1.5 * max(shape))) + 16
    noise = rng.standard_normal((side, side), np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), sigmaX=5.0, sigmaY=0.8)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    x, y = x - shape[1] / 2, y - shape[0] / 2
    bend = 3.0 * _grain(rng, shape, 10.0)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along, across = c * x + s * y + side / 2, c * y - s * x + side / 2 + bend
    wavy = cv2.remap(noise, along, across, cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT)
    return wavy / max(float(wavy.std()), 1e-6)


def _expose(rng, nuclear, eosin):
    """u8 [h, w, 3]: the section under the microscope, each one stained differently."""
    shape = nuclear.shape
    stains = _STAINS * rng.uniform(0.9, 1.1, (2, 3))
    amounts = [nuclear * rng.uniform(0.75, 1.2), eosin * rng.uniform(0.7, 1.25)]
    density = sum(a[..., None] * s for a, s in zip(amounts, stains, strict=True))
    light = np.exp(-density.astype(np.float32)) * rng.uniform(0.88, 1.0)
    light = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.5, 0.9))
    tilt = rng.normal(0, 0.05, 2)
    light *= 1 + tilt[0] * np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :, None]
    light *= 1 + tilt[1] * np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None, None]
    noise = rng.standard_normal(light.shape, np.float32)
    light += rng.uniform(0.01, 0.035) * noise
    return np.rint(255 * light.clip(0, 1)).astype(np.uint8)


def _grain(rng, shape, blur):
    """f32 [h, w]: random texture of about unit variance, `blur` pixels coarse."""
    noise = rng.standard_normal(shape, np.float32)
    return cv2.GaussianBlur(noise, (0, 0), blur) * max(1.0, 3.545 * blur)
