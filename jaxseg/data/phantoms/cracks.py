"""Draws phantom cracks in concrete, and their masks.

A crack wanders, branches, narrows and widens, fades where it is filled with dust, and
ends in a hair. It takes 0.1 to 5 % of the pixels of an image that has any, spread
evenly over the logarithm. No darkness belongs to cracks: joints, pores, stains and
shadows are as dark (`_concrete.py`), and images without a crack have all of them too.

A pixel is crack where the gap covers 40 % of it; of a hair the pixels on its middle.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from jaxseg.data.phantoms import _concrete
from jaxseg.errors import ConfigError

CLASSES = ("background", "crack")
SMALLEST = 48
LEAST, MOST = 0.001, 0.05  # of the pixels of an image with a crack
_FINE = 4  # so much finer is what cracks are drawn on
_COVERED = 0.4  # of a pixel, that makes it crack
_TRIES = 60  # cracks that are tried for one image
_GOLDEN = 0.6180339887498949


def draw(
    index: int, *, size: int | tuple[int, int], seed: int, positive: bool
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """Image and mask (0 and 1) with this number; `size` is the side, or height, width.

    A pure function of the arguments. Without `positive` the mask is empty. Raises
    ConfigError for a side below 48.
    """
    shape = (size, size) if isinstance(size, int) else tuple(size)
    if min(shape) < SMALLEST:
        raise ConfigError(
            f"Phantom cracks of {shape[0]}x{shape[1]} pixels cannot be drawn: each "
            f"side needs at least {SMALLEST}."
        )
    rng = np.random.default_rng((seed, index, 5))
    wall = _concrete.surface(rng, shape) * _concrete.things(rng, shape)
    mask = np.zeros(shape, np.uint8)
    if positive:
        gap, mask = _cracks(rng, shape, _share(index, seed))
        wall = wall * _shade(rng, gap)
    return _expose(rng, wall * _concrete.light(rng, shape)), mask


def _share(index: int, seed: int) -> float:
    """Of the pixels that are crack: quantiles spread evenly over consecutive images."""
    first = np.random.default_rng((seed, 6)).random()
    u = (first + index * _GOLDEN) % 1.0
    return 1.15 * LEAST * (0.85 * MOST / (1.15 * LEAST)) ** u


def _cracks(rng, shape, share: float):
    """(the part of each pixel that is gap f32 [h, w], mask u8 [h, w])."""
    width = np.clip(1.1 * (share / 0.006) ** 0.35 * rng.uniform(0.8, 1.3), 0.7, 4.5)
    gap, mask = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
    for trial in range(_TRIES):
        length = min(1.3 * max(shape), 1.2 * share * shape[0] * shape[1] / width)
        missing = (share - mask.mean()) * shape[0] * shape[1] / width
        length = max(8.0, min(length, rng.uniform(0.8, 1.3) * missing))
        strokes = _crack(rng, shape, length, width)
        new, middle = _covered(shape, strokes)
        both = np.maximum(gap, new)
        crack = mask | (new >= _COVERED) | middle
        if crack.mean() <= min(MOST, 1.5 * share) or trial == _TRIES - 1:
            gap, mask = both, crack.astype(np.uint8)
        if mask.mean() >= 0.85 * share:
            break
    return gap, mask


def _crack(rng, shape, length: float, width: float) -> list:
    """Strokes of a crack and its branches: (points f64 [n, 2] as x y, widths [n])."""
    at = rng.uniform(0.08, 0.92, 2) * shape[::-1]
    turn = rng.uniform(0, 2 * np.pi)
    strokes, waiting = [], [(at, turn, length / 2, width, 0)]
    waiting.append((at, turn + np.pi + rng.normal(0, 0.2), length / 2, width, 0))
    while waiting:
        at, turn, length, width, depth = waiting.pop()
        count = max(3, int(length))
        points, headings = _walk(rng, at, turn, count)
        fall = 1 - np.linspace(0, 1, count) ** rng.uniform(1.5, 4)
        widths = width * (0.25 + 0.75 * fall) * np.exp(0.35 * _wave(rng, count, 9))
        strokes.append((points, widths))
        if depth < 2:
            for place in np.flatnonzero(rng.random(count) < rng.uniform(0.004, 0.03)):
                side = rng.choice((-1, 1)) * rng.uniform(0.35, 1.2)
                rest = (count - place) * rng.uniform(0.3, 0.9)
                thin = widths[place] * rng.uniform(0.45, 0.85)
                if rest > 6:
                    way = headings[place] + side
                    waiting.append((points[place], way, rest, thin, depth + 1))
    return strokes


def _walk(rng, at, turn: float, count: int):
    """(points f64 [n, 2], headings f64 [n]) of a path of steps of one pixel.

    It keeps its direction on the whole, bends slowly, and is jagged at each grain.
    """
    bend = np.cumsum(rng.normal(0, 0.035, count)) + 0.45 * _wave(rng, count, 14)
    jag = np.repeat(rng.normal(0, 0.5, count // 3 + 1), 3)[:count]
    headings = turn + bend
    steps = np.stack([np.cos(headings + jag), np.sin(headings + jag)], -1)
    return at + np.cumsum(steps, 0) - steps[0], headings


def _wave(rng, count: int, length: float):
    """f64 [count]: smooth noise of about unit variance, `length` steps long."""
    noise = rng.standard_normal((1, count + 8 * int(length)))
    smooth = cv2.GaussianBlur(noise, (0, 0), length, borderType=cv2.BORDER_REFLECT)[0]
    return smooth[:count] * (2 * length * np.pi**0.5) ** 0.5


def _covered(shape, strokes) -> tuple[Float[np.ndarray, "h w"], np.ndarray]:
    """(the part of each pixel inside strokes, bool [h, w] the pixels on a middle)."""
    fine = np.zeros([_FINE * n for n in shape], np.uint8)
    middle = np.zeros(shape, np.uint8)
    for points, widths in strokes:
        places = np.rint((points + 0.5) * _FINE - 0.5).astype(np.int32)
        for a, b, width in zip(places, places[1:], widths, strict=False):
            thick = max(1, round(float(width) * _FINE))
            cv2.line(fine, a.tolist(), b.tolist(), 255, thick, cv2.LINE_8)
        cells = np.rint(points).astype(np.int32)
        cv2.polylines(middle, [cells], False, 1, 1, cv2.LINE_8)
    part = cv2.resize(fine, shape[::-1], interpolation=cv2.INTER_AREA)
    return part.astype(np.float32) / 255, middle > 0


def _shade(rng, gap) -> Float[np.ndarray, "h w"]:
    """A factor of the light: dark in the gap, filled in places, its edge chipped."""
    shape = gap.shape
    deep = rng.uniform(0.45, 2.0)
    filled = np.clip(0.75 + 0.45 * _concrete.grain(rng, shape, 9.0), 0.18, 1.3)
    near = cv2.GaussianBlur(gap, (0, 0), 0.7)
    dirt = cv2.GaussianBlur(gap, (0, 0), rng.uniform(2.0, 4.0))
    lit = np.roll(near, (1, 1), (0, 1)) * (1 - near)
    lit[0], lit[:, 0] = 0, 0
    dark = np.exp(-deep * filled * near - rng.uniform(0, 0.35) * dirt)
    return dark + rng.uniform(0, 0.16) * lit


def _expose(rng, value) -> UInt8[np.ndarray, "h w 3"]:
    """The colours of the camera: the tint of cement, a little blur, noise."""
    value = cv2.GaussianBlur(value.astype(np.float32), (0, 0), rng.uniform(0.35, 0.7))
    tint = np.array([1.0, 0.985, 0.955]) + rng.normal(0, 0.012, 3)
    rust = np.clip(_concrete.grain(rng, value.shape, 20.0) - 1.6, 0, 1)[..., None]
    colour = tint - rng.uniform(0, 0.25) * rust * np.array([0.1, 0.5, 1.0])
    image = value[..., None] * colour * rng.uniform(0.85, 1.15)
    shot = rng.standard_normal(image.shape, np.float32)
    image += rng.uniform(0.006, 0.022) * shot
    return np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
